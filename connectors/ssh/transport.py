"""Paramiko's Transport, tuned for thousands of connections: no polls, buffered reads, one wake-up source.

Paramiko wakes ten times a second on every connection and in every wait (`Transport._active_check_timeout` and the
``event.wait(0.1)`` loops); here the reader blocks until data comes, and the one caller of a connection waits on one
`Signal`. The private names overridden below are those of paramiko 5; `tests/connectors/test_ssh_transport.py` guards
them.
"""

from __future__ import annotations

import _thread
import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from paramiko.common import MSG_REQUEST_FAILURE, MSG_REQUEST_SUCCESS
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.ssh_exception import SSHException
from paramiko.transport import Transport

from sshexec.connectors.base import Deadline
from sshexec.connectors.ssh.channel import HANDLERS, LARGEST_WINDOW, WINDOW, Channel, Packet
from sshexec.connectors.ssh.conduit import Conduit, Wire
from sshexec.connectors.ssh.keytypes import CERTIFICATE_ALGORITHMS, HOST_KEY_ALGORITHMS, SUFFIX
from sshexec.connectors.ssh.packets import BufferedPacketizer, Payload

_LONGEST_WAIT = 86_400.0
_STALLED_WRITE_MS = 20_000

_NO_BANNER = "Error reading SSH protocol banner"
_ERRNO = re.compile(r"\A\[Errno \d+\] ")

_ASKED = HOST_KEY_ALGORITHMS | CERTIFICATE_ALGORITHMS


class LinkDownError(Exception):
    """The connection is gone (never leaves this room)."""


class Signal:
    """Wakes the one thread that waits on it; a signal set while nobody waits is kept.

    A bare lock used as a binary semaphore: the cheapest wake-up on real threads and under gevent alike.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake the waiter, or let its next wait return at once; from any thread."""
        with contextlib.suppress(RuntimeError):  # it is set already
            self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        """Wait that many seconds at most; return whether the signal came."""
        return self._lock.acquire(True, _LONGEST_WAIT if timeout is None else min(timeout, _LONGEST_WAIT))


class Channels(dict[int, Channel]):
    """The open channels by number, in the shape that Paramiko's reader expects."""

    def values(self) -> Any:
        """Return the channels as a list: the reader may remove some meanwhile."""
        return list(super().values())


def _tune(sock: socket.socket) -> None:
    """Set what a TCP connection needs."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # A write to a host that takes nothing any more fails then, instead of waiting for ever.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_WRITE_MS)


class Link(Transport):
    """One SSH connection: Paramiko's protocol engine with channels and waits of our own.

    Args:
        sock: the connected socket, or what stands in its place; the link closes it.
        known: types of host keys, or of host certificates, that are to be asked for first.
        alive: seconds of silence, while somebody waits for the host, after which it is asked for a sign of life
            (0: never), and how many of these questions may stay unanswered.
        algorithms: what to propose instead of the defaults below, by kind (`ciphers`, `kex`, `macs`, `keys`).
    """

    # What the published type stubs of Paramiko leave out, or have otherwise.
    packetizer: BufferedPacketizer
    sock: Any
    auth_handler: Any
    completion_event: Any
    host_key: Any
    saved_exception: Any
    server_extensions: dict[str, bytes]
    _handler_table: dict[int, Any]
    _send_message: Callable[[Any], None]
    _channels: Any
    _expected_packet: tuple[int, ...]

    _active_check_timeout = None
    _kex_info: ClassVar[dict[str, Any]] = {**vars(Transport)["_kex_info"], "curve25519-sha256": KexCurve25519}
    # curve25519 costs a tenth of group exchange, and AES-GCM needs no MAC (facts: 2.8 ms against 24.5 ms a host).
    _preferred_kex: tuple[str, ...] = (
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        *(name for name in vars(Transport)["_preferred_kex"] if not name.startswith("curve25519")),
    )
    _preferred_ciphers: tuple[str, ...] = (
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    )
    _preferred_macs: tuple[str, ...] = (
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
        "hmac-sha1",
    )
    _channel_handler_table: ClassVar[dict[int, Any]] = HANDLERS

    def __init__(
        self,
        sock: Wire,
        known: Sequence[str] = (),
        alive: tuple[float, int] = (0.0, 1),
        algorithms: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    ) -> None:
        super().__init__(sock, packetizer_class=BufferedPacketizer)  # type: ignore[arg-type]  # nor here
        self.signal = Signal()
        self.completion_event = self.signal
        self._channels = Channels()
        self.packetizer.on_data = self._data
        first = [name for kind in known for name in _ASKED.get(kind, ())]
        rest = [name for names in HOST_KEY_ALGORITHMS.values() for name in names if name not in first]
        self._host_key_algorithms = (*first, *rest)
        for kind, names in algorithms.items():
            if kind == "keys":
                # As with OpenSSH, a list that was given is not put in another order for the keys that are known.
                self._host_key_algorithms = tuple(n for n in names if not n.endswith(SUFFIX) or n in first)
            else:
                setattr(self, f"_preferred_{kind}", names)
        self._handler_table[MSG_REQUEST_SUCCESS] = self._handler_table[MSG_REQUEST_FAILURE] = self._pong
        self._alive_interval, self._alive_count = alive
        self._first_proposal = False
        self._shown = b""
        """What the host has shown as its key: the key itself, or a certificate."""
        self.certificate = b""
        """The host certificate, where the host has shown one; `host_key` is the plain key within."""
        self.offered: tuple[str, ...] = ()
        """Host key algorithms that the host has keys for."""
        self.greeted = False
        """Whether the peer speaks a version of SSH that we speak."""
        self.pings = 0
        """Requests for a sign of life that were sent."""
        self.pongs = 0
        """Answers to them."""
        self.round_trip = 0.0
        """Seconds of the quickest answer seen so far: about one round trip; 0 before there was one."""
        self.exchanges = 0
        """Exchanges of keys that have begun."""
        self.farewell = ""
        """What the host said when it closed the connection."""
        self.silence = ""
        """What is said of it where it was given up because the host gave no sign of life, to all who use it."""
        self.shells = 0
        """Terminals that are open."""
        self.open_channels = 0
        self.most_channels = 0
        """The most that were open at once."""
        self._conduit = sock if isinstance(sock, Conduit) else None
        if not isinstance(sock, Conduit) and sock.family != socket.AF_UNIX:
            _tune(sock)

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """Host key algorithms in the order to ask for them."""
        return self._host_key_algorithms

    def begin(self) -> None:
        """Start the handshake, in the reader; `wait_until` tells how far it is."""
        self.packetizer.hold()
        signal: Any = self.signal  # it has the one method of an Event that is called
        self.start_client(event=signal)

    def _send_kex_init(self) -> None:
        """Send our proposal; the first one goes out with our greeting, before the peer's is read.

        RFC 4253 §4.2 lets both sides begin so; it saves a round trip.
        """
        if self._first_proposal:
            self._first_proposal = False
            return
        super()._send_kex_init()  # type: ignore[misc]  # not in the stubs

    def start(self) -> None:
        """Start the reader, as a bare thread (no bookkeeping of `threading`: it is cheaper under gevent)."""
        _thread.start_new_thread(self.run, ())

    def run(self) -> None:
        """Read packets until the connection ends, then wake whoever waits."""
        try:
            super().run()
        finally:
            self.active = False
            self.clear_to_send.set()
            self.signal.set()

    def stop_thread(self) -> None:
        """End the reader: closing a socket does not wake a thread that reads from it, shutting it down does."""
        self.active = False
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.packetizer.close()
        self.signal.set()

    def _log(self, level: int, msg: Any, *args: Any) -> None:
        """Log nothing: the calls alone cost more than the packets' own work."""

    def _check_banner(self) -> None:
        self._send_kex_init()
        self._first_proposal = True
        super()._check_banner()  # type: ignore[misc]  # not in the stubs
        self.greeted = True
        self.signal.set()

    def _parse_kex_init(self, m: Any) -> None:
        self.exchanges += 1
        super()._parse_kex_init(m)  # type: ignore[misc]  # not in the stubs

    def _really_parse_kex_init(self, m: Any, ignore_first_byte: bool = False) -> Any:
        parsed = super()._really_parse_kex_init(m, ignore_first_byte)  # type: ignore[misc]  # not in the stubs
        self.offered = tuple(parsed["server_key_algo_list"])
        return parsed

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        """Verify that the host has the private key of what it shows; Paramiko reads the key within a certificate."""
        if self._shown and host_key != self._shown:
            # The first one was compared with what is known; nobody would look at this one.
            raise SSHException("the host shows another host key in an exchange of new keys")
        super()._verify_key(host_key, sig)  # type: ignore[misc]  # not in the stubs
        self._shown = host_key
        self.certificate = host_key if str(self.host_key_type).endswith(SUFFIX) else b""

    def _parse_disconnect(self, m: Any) -> None:
        m.get_int()
        self.farewell = m.get_string().decode("utf-8", "replace")

    def _filter_algorithm(self, type_: str) -> tuple[str, ...]:
        """Return the algorithms of a kind: nothing is disabled here, and Paramiko asks for them 14 times a host."""
        algorithms: tuple[str, ...] = getattr(self, f"_preferred_{type_}")
        return algorithms

    def _parse_debug(self, m: Any) -> None:
        """Leave out what the host says about its own workings (sshd does, for each key of the user)."""

    def _pong(self, m: Any) -> None:
        self.pongs += 1
        self.signal.set()

    def _send_user_message(self, data: Any) -> None:
        """Send a packet, or payloads, that have to wait while keys are exchanged anew.

        Raises:
            LinkDownError: the connection is gone.
        """
        give_up = time.monotonic() + self.clear_to_send_timeout
        while True:
            with self.clear_to_send_lock:
                if not self.active:
                    raise LinkDownError(self.why())
                if self.clear_to_send.is_set():
                    try:
                        if isinstance(data, list):
                            self.packetizer.send_payloads(data)
                        else:
                            self._send_message(data)
                    except (EOFError, OSError) as error:
                        self.stop_thread()
                        raise LinkDownError(self.why()) from error
                    return
            # This packet waits for the exchange of keys, which must not wait for what is held back until it is sent.
            self.flush()
            if not self.clear_to_send.wait(max(0.0, give_up - time.monotonic())):
                raise LinkDownError("the host does not finish the exchange of new keys")

    def _data(self, number: int, data: bytes) -> bool:
        """Hand data to its channel, unless Paramiko's reader has something to say against a packet of this kind."""
        if self._expected_packet:
            return False
        channel = self._channels.get(number)
        if channel is None:
            return False
        channel.feed(data)
        return True

    def answer(self, packet: Packet) -> None:
        """Answer a request from within the reader; not while keys are exchanged (the host asks again)."""
        if self.clear_to_send.is_set():
            self._send_message(packet)
            self.packetizer.flush()

    def send(self, packet: Packet) -> None:
        """Send a packet.

        Raises:
            LinkDownError: the connection is gone.
        """
        self._send_user_message(packet)

    def send_payloads(self, payloads: list[Payload]) -> None:
        """Send several packets in one call.

        Raises:
            LinkDownError: the connection is gone.
        """
        self._send_user_message(payloads)

    def flush(self) -> None:
        """Send the packets held back since ``packetizer.hold()``, and hold back no more.

        Raises:
            LinkDownError: the connection is gone.
        """
        try:
            self.packetizer.let_go()
            self.packetizer.flush()
        except EOFError as error:
            self.stop_thread()
            raise LinkDownError(self.why()) from error

    def timed(self, seconds: float) -> None:
        """Take note of how long an answer took that costs the host next to nothing."""
        self.round_trip = min(self.round_trip or seconds, seconds)

    def ping(self) -> None:
        """Ask the host for a sign of life; `pongs` counts the answers.

        Raises:
            LinkDownError: the connection is gone.
        """
        name = b"keepalive@openssh.com"
        self.pings += 1
        self.send(Packet(struct.pack(">BI", 80, len(name)) + name + b"\x01"))

    @property
    def alive_interval(self) -> float | None:
        """Seconds of silence after which the host is to be asked for a sign of life; None: never."""
        return (self._alive_interval or None) if self.authenticated else None

    def question_life(self) -> None:
        """Ask the host, silent for `alive_interval`, for a sign of life.

        Raises:
            LinkDownError: too many of these questions are unanswered.
        """
        if self.pings - self.pongs >= self._alive_count:
            silence = f"the host gave no sign of life for {self._alive_interval * self._alive_count:g} s"
            self.silence = self.trouble(silent=True) or silence
            self.stop_thread()
            raise LinkDownError(self.silence)
        self.ping()

    def pause(self, deadline: Deadline) -> bool:
        """Wait for the next signal; return False where the deadline passed first.

        Raises:
            LinkDownError: the host gives no sign of life.
        """
        interval = self.alive_interval
        if self.signal.wait(deadline.remaining(interval)):
            return True
        if deadline.expired:
            return False
        if interval:
            self.question_life()
        return True

    def add_channel(
        self,
        kind: bytes = b"session",
        extra: bytes = b"",
        signals: tuple[Signal, Signal] | None = None,
        windows: tuple[int, int] = (WINDOW, LARGEST_WINDOW),
    ) -> Channel:
        """Ask the host to open a channel; ``accepted`` or ``refused`` tell the answer.

        Args:
            kind: what it is for.
            extra: what its kind adds to the request.
            signals: see `Channel`.
            windows: see `Channel`.

        Raises:
            LinkDownError: the connection is gone.
        """
        with self.lock:  # several hosts share a jump host's connection
            number = 0
            while number in self._channels:
                number += 1
            channel = Channel(self, number, signals, windows)
            self._channels[number] = channel
            self.channels_seen[number] = True
        try:
            channel.open(kind, extra)
        except LinkDownError:
            self.forget(channel)
            raise
        return channel

    def forget(self, channel: Channel) -> None:
        """Drop a channel that both sides have closed."""
        with self.lock:
            if self._channels.get(channel.number) is channel:
                del self._channels[channel.number]
                self.open_channels -= channel.accepted

    def _parse_channel_open_success(self, m: Any) -> None:
        channel = self._channels.get(m.get_int())
        if channel is not None:
            with self.lock:
                self.open_channels += 1
                self.most_channels = max(self.most_channels, self.open_channels)
            channel.opened(m.get_int(), m.get_int(), m.get_int())
            channel.signal.set()

    def _parse_channel_open_failure(self, m: Any) -> None:
        channel = self._channels.get(m.get_int())
        if channel is not None:
            self.forget(channel)
            channel.reason, channel.company = m.get_int(), len(self._channels)
            channel.refused = m.get_string().decode("utf-8", "replace") or "no reason given"
            channel.signal.set()

    def trouble(self, silent: bool = False) -> str:
        """Return what is wrong with what carries the connection (see `Conduit.trouble`)."""
        return self._conduit.trouble(silent) if self._conduit is not None else ""

    @property
    def said_all(self) -> bool:
        """Whether the connection has ended, and in good order: nothing that the host sent before can be missing."""
        return not self.active and (bool(self.farewell) or isinstance(self.saved_exception, EOFError))

    def why(self) -> str:
        """Return why the connection ended, as far as it is known."""
        error = self.saved_exception
        if self.packetizer.gave_up:
            return "the host takes no data any more"
        if self.farewell:
            return f"the host closed it: {self.farewell}"
        if self.silence:
            return self.silence
        if trouble := self.trouble():
            return trouble
        if error is None or isinstance(error, EOFError):
            return "the host closed it"
        text = str(error)
        if text.startswith(_NO_BANNER):
            # Paramiko puts the reason behind it without a space, and none where the host has closed the connection.
            return _ERRNO.sub("", text.removeprefix(_NO_BANNER)) or "the host closed it"
        return _ERRNO.sub("", text) or type(error).__name__

    def wait_until(self, ready: Callable[[], Any], deadline: Deadline, guard: Callable[[], None]) -> bool:
        """Wait until something is so; return False where the deadline passes first.

        Args:
            ready: asked again after each signal.
            deadline: by when.
            guard: called before each wait, raises where the caller shall wait no longer.

        Raises:
            LinkDownError: the connection is gone, or the host gives no sign of life.
        """
        while not ready():
            guard()
            if not self.active:
                raise LinkDownError(self.why())
            if not self.pause(deadline):
                return bool(ready())
        return True
