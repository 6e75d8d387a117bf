"""Builds what runs an Ansible module on a host: a program of its own, and the only place that imports ansible-core.

`sshexec.modules.ansible.builder` starts it, in the interpreter that has ansible-core, and never imports it, since that
reads its configuration, opens its display and sets import hooks as it is imported. It imports nothing of this project,
which that interpreter need not have.

It reads one JSON object, ``{"module": NAME}``, and writes one: what `sshexec.modules.ansible.payload.Payload` holds, or
``{"error": KIND, "message": TEXT}``.
"""

from __future__ import annotations

import base64
import gc
import io
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from typing import Any

SUPPORTED = ("2.18.", "2.19.")
"""Versions of ansible-core whose internal interface this program knows."""

PLACE = {"ANSIBLE_MODULE_ARGS": {"sshexec": "9b2f4c1e7a6d"}}
"""Arguments of which the payload is built; where they stand in it is where a host's own are put."""

_ZIP = re.compile(r"'(UEsDB[A-Za-z0-9+/=]+)'")


class Refusal(Exception):
    """The module can't be had.

    Args:
        kind: ``absent`` (no ansible-core), ``unknown`` (no such module) or ``refused``.
        message: why.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def build(name: str) -> dict[str, Any]:
    """Return the payload of a module and what is known of it.

    Raises:
        Refusal: it can't be had.
    """
    version = _version()
    from ansible.executor.module_common import modify_module
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.loader import init_plugin_loader, module_loader
    from ansible.template import Templar

    init_plugin_loader([])
    found = module_loader.find_plugin_with_context(name, ".py")
    if not found.resolved:
        collection = ".".join(name.split(".")[:2])
        hint = f" (is the collection {collection} installed?)" if name.count(".") > 1 else ""
        raise Refusal("unknown", f"ansible-core {version} finds no module of that name{hint}")
    path = str(found.plugin_resolved_path)
    if os.path.exists(f"{os.path.splitext(path)[0]}.ps1"):
        raise Refusal("refused", "a PowerShell module, and those are not supported")
    action = _action(name, found)
    variables = {"ansible_python_interpreter": "/usr/bin/python3", "ansible_facts": {}}
    built = modify_module(
        module_name=found.resolved_fqcn,
        module_path=path,
        module_args=PLACE["ANSIBLE_MODULE_ARGS"],
        templar=Templar(loader=DataLoader(), variables=variables),
        task_vars=variables,
        module_compression="ZIP_DEFLATED",
    )
    data, style = (built[0], built[1]) if isinstance(built, tuple) else (built.b_module_data, built.module_style)
    text = data.decode("utf-8", "surrogateescape")
    place = repr(json.dumps(PLACE))
    if style != "new" or text.count(place) != 1:
        raise Refusal("refused", f"{path} is of another kind than the Python modules that can be sent")
    head, _, tail = text.partition(place)
    parameters = _parameters(found)
    return {
        "version": version,
        "head": head,
        "tail": tail,
        "private": _private(version),
        "action": action,
        "documented": parameters is not None,
        "parameters": parameters or [],
        "watched": _watched(text, path, str(found.resolved_fqcn)),
    }


def _version() -> str:
    try:
        from ansible.release import __version__
    except ImportError as error:
        raise Refusal("absent", f"{sys.executable} has no ansible-core: {error}") from None
    if not __version__.startswith(SUPPORTED):
        versions = " and ".join(each.rstrip(".") for each in SUPPORTED)
        raise Refusal("refused", f"ansible-core {__version__} of {sys.executable} is not supported, {versions} are")
    return str(__version__)


def _action(name: str, found: Any) -> str:
    """Return the full name of the module's controller part; "" where it has none."""
    from ansible import constants
    from ansible.plugins.loader import action_loader

    for each in (found.action_plugin, name, found.resolved_fqcn):
        if each:
            part = action_loader.find_plugin_with_context(each)
            if part.resolved:
                return str(part.resolved_fqcn)
    # A network device's modules have one part for all of them, and run here.
    group = str(found.resolved_fqcn).rpartition(".")[2].split("_")[0]
    return group if group in constants.NETWORK_GROUP_MODULES and action_loader.has_plugin(group) else ""


def _parameters(found: Any) -> list[dict[str, Any]] | None:
    """Return what the documentation says of the module's arguments; None where there is none to rely on."""
    from ansible.plugins.loader import fragment_loader
    from ansible.utils.plugin_docs import get_docstring

    collection = found.plugin_resolved_collection
    if not collection:
        # A user's own module, in whose documentation arguments may be missing: it judges for itself.
        return None
    try:
        document = get_docstring(
            str(found.plugin_resolved_path), fragment_loader, collection_name=collection, plugin_type="module"
        )[0]
        options = document["options"] if document else {}
        return [
            {
                "name": str(name),
                "aliases": [str(alias) for alias in option.get("aliases") or ()],
                "required": bool(option.get("required")),
            }
            for name, option in options.items()
        ] or None
    except Exception as error:  # noqa: BLE001 - a plugin's documentation may hold anything
        print(f"documentation of {found.resolved_fqcn}: {error}", file=sys.stderr)
        return None


def _private(version: str) -> dict[str, Any]:
    """Return the private arguments of this version, without those that differ by run and host."""
    from ansible import constants
    from ansible.module_utils.common.parameters import PASS_VARS

    values = {
        "debug": False,
        "keep_remote_files": False,
        "ignore_unknown_opts": False,
        "no_log": bool(constants.config.get_config_value("DEFAULT_NO_TARGET_SYSLOG", variables={})),
        "target_log_info": constants.config.get_config_value("TARGET_LOG_INFO", variables={}),
        "selinux_special_fs": list(constants.DEFAULT_SELINUX_SPECIAL_FS),
        "socket": None,
        "string_conversion_action": getattr(constants, "STRING_CONVERSION_ACTION", "warn"),
        "syslog_facility": str(constants.DEFAULT_SYSLOG_FACILITY),
        "tmpdir": None,
        "tracebacks_for": [],
        "verbosity": 0,
        "version": version,
    }
    return {f"_ansible_{name}": value for name, value in values.items() if name in PASS_VARS}


def _watched(text: str, path: str, fqcn: str) -> list[list[Any]]:
    """Return path, time of change and size of what the payload was made of, and of where its name is looked up."""
    import ansible
    from ansible import constants

    home = os.path.dirname(ansible.__file__)
    collections = [os.path.join(each, "ansible_collections") for each in (*constants.COLLECTIONS_PATHS, *sys.path)]
    paths = {path, os.path.join(home, "release.py"), os.path.join(home, "executor", "module_common.py")}
    paths.update(constants.DEFAULT_MODULE_PATH)
    paths.update(os.path.join(each, fqcn.partition(".")[0]) for each in collections)
    packed = _ZIP.search(text)
    if packed:
        utils = [os.path.join(home, "module_utils"), *constants.DEFAULT_MODULE_UTILS_PATH]
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(packed[1]))) as archive:
            for name in archive.namelist():
                if name.startswith("ansible/module_utils/"):
                    paths.update(_existing(utils, name.removeprefix("ansible/module_utils/")))
                elif name.startswith("ansible_collections/"):
                    paths.update(_existing(collections, name.removeprefix("ansible_collections/")))
    return [[each, *_state(each)] for each in sorted(paths)]


def _existing(folders: Iterable[str], name: str) -> list[str]:
    return [path for path in (os.path.join(folder, name) for folder in folders) if os.path.isfile(path)]


def _state(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, -1
    return status.st_mtime_ns, status.st_size


def main() -> None:
    """Answer one request."""
    # What lives is needed to the end, and the process is short.
    gc.disable()
    channel = os.fdopen(os.dup(1), "w", encoding="ascii")
    # What ansible-core prints is not the answer.
    os.dup2(2, 1)
    os.environ.setdefault("ANSIBLE_LOCAL_TEMP", tempfile.gettempdir())
    try:
        answer = build(json.load(sys.stdin)["module"])
    except Refusal as error:
        answer = {"error": error.kind, "message": str(error)}
    except Exception as error:  # noqa: BLE001 - ansible-core's own errors among them
        answer = {"error": "failed", "message": f"{type(error).__name__}: {error}"}
    json.dump(answer, channel)
    channel.close()


if __name__ == "__main__":
    main()
