"""A real sshd whose PAM stack asks what a test says: a module of our own, compiled, and a service file of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import SSHD, Sshd, lacking

SOURCE = r"""
#include <stdlib.h>
#include <string.h>
struct pam_message { int msg_style; const char *msg; };
struct pam_response { char *resp; int resp_retcode; };
struct pam_conv { int (*conv)(int, const struct pam_message **, struct pam_response **, void *); void *data; };
extern int pam_get_item(const void *, int, const void **);
static char *ask(void *h, int style, const char *text) {
  const struct pam_conv *c;
  struct pam_message m = { style, text };
  const struct pam_message *p = &m;
  struct pam_response *r = 0;
  if (pam_get_item(h, 5, (const void **)&c) || c->conv(1, &p, &r, c->data) || !r) return 0;
  return r->resp;
}
int pam_sm_authenticate(void *h, int flags, int argc, const char **argv) {
  int wrong = 0;
  for (int i = 0; i + 1 < argc; i += 2) {
    char text[256] = "";
    const char *a = argv[i];
    int style = 1;
    if (*a == '+') { style = 2; a++; }
    strncpy(text, a, 255);
    for (char *t = text; *t; t++) if (*t == '_') *t = ' ';
    char *got = ask(h, style, text);
    if (!got || strcmp(got, argv[i + 1])) wrong = 1;
  }
  return wrong ? 7 : 0;
}
int pam_sm_setcred(void *h, int f, int c, const char **v) { return 0; }
"""
"""Asks each prompt in its turn and compares the answers; ``+`` before a prompt lets the answer be shown."""


@contextlib.contextmanager
def asking_sshd(folder: Path, questions: dict[str, str], config: str = "") -> Iterator[Sshd]:
    """Start an sshd whose logins ask these prompts and expect these answers; skip where that can't be."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if os.geteuid() != 0 or not Path("/etc/pam.d").is_dir():
        pytest.skip("a PAM service of one's own needs root and PAM")
    if compiler is None or SSHD is None:
        lacking("a C compiler, or openssh-server")
    folder.mkdir(parents=True, exist_ok=True)
    module = folder / "pam_ask.so"
    subprocess.run(
        [compiler, "-w", "-shared", "-fPIC", "-x", "c", "-o", str(module), "-"], input=SOURCE.encode(), check=True
    )
    program = folder / f"sshdtest-{secrets.token_hex(4)}"
    program.symlink_to(SSHD)
    service = Path("/etc/pam.d") / program.name
    words = " ".join(f"{prompt.replace(' ', '_')} {answer}" for prompt, answer in questions.items())
    server = Sshd(
        folder / "sshd",
        f"{config}\nUsePAM yes\nKbdInteractiveAuthentication yes\nLogLevel VERBOSE\n",
        program=str(program),
    )
    try:
        service.write_text(
            f"auth required {module} {words}\naccount required pam_permit.so\nsession required pam_permit.so\n"
        )
        yield server.start()
    finally:
        server.stop()
        service.unlink(missing_ok=True)


def failures(server: Sshd) -> int:
    """Return how many tries the server has refused, keys not counted."""
    lines = server.log.read_text().splitlines()
    return sum("Failed password" in line or "Failed keyboard-interactive" in line for line in lines)
