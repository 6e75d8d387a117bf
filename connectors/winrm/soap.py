"""SOAP 1.2 envelopes as a WinRM service answers them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from sshexec.connectors.winrm.faults import Fault

SOAP = "{http://www.w3.org/2003/05/soap-envelope}"
_WSMAN_FAULT = "{http://schemas.microsoft.com/wbem/wsman/1/wsmanfault}"
_WMI_ERROR = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError}"


_DOCTYPE = re.compile(rb"<(?:\0?!\0?D\0?O\0?C\0?T\0?Y\0?P\0?E)")
"""What an envelope never has (SOAP 1.2, part 1, section 5), in UTF-8 and UTF-16; entities that grow need it."""


class NotSoap(Exception):
    """What came is no SOAP envelope."""


def root_of(body: bytes) -> ET.Element:
    """Return the root of an answer.

    Raises:
        NotSoap: it is no XML, or none of SOAP.
        Fault: it is a fault.
    """
    if _DOCTYPE.search(body):
        raise NotSoap
    try:
        root = ET.fromstring(body)  # noqa: S314 - without entities of its own
    except (ET.ParseError, ValueError, LookupError):
        raise NotSoap from None
    if root.tag != f"{SOAP}Envelope":
        raise NotSoap
    fault = root.find(f"{SOAP}Body/{SOAP}Fault")
    if fault is not None:
        raise _fault(fault)
    return root


def _fault(fault: ET.Element) -> Fault:
    """Return a fault by its code: that of WSManFault, or of MSFT_WmiError, as quotas have it (MS-WSMV 2.2.4.43)."""
    code = _code(fault.find(f".//{_WSMAN_FAULT}WSManFault"))
    words = ""
    if (wmi := fault.find(f".//{_WMI_ERROR}error_Code")) is not None:
        code = code if code is not None else _number(wmi.text)
        words = (fault.findtext(f".//{_WMI_ERROR}Message") or "").strip()
    message = fault.find(f".//{_WSMAN_FAULT}Message")
    said = "".join(message.itertext()).strip() if message is not None else ""
    reason = (fault.findtext(f"{SOAP}Reason/{SOAP}Text") or "").strip()
    subcode = (fault.findtext(f"{SOAP}Code/{SOAP}Subcode/{SOAP}Value") or "").strip()
    return Fault(code, subcode, " ".join((reason or said or words or "no reason given").split()))


def _code(element: ET.Element | None) -> int | None:
    return None if element is None else _number(element.get("Code"))


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text.strip())
    except ValueError:
        return None
