"""SOAP faults, in the shapes that real Windows sends them (pywinrm's recorded test data; MS-WSMV 2.2.4.43)."""

from __future__ import annotations

from xml.sax.saxutils import escape

MACHINE = "WINHOST"
"""The name of the host that this endpoint pretends to be."""

_WSMAN = """<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{code}" \
Machine="{machine}"><f:Message>{detail}</f:Message></f:WSManFault>"""

_WMI = """<p:MSFT_WmiError b:IsCIM_Error="true" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xmlns:b="http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd" \
xmlns:p="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError" \
xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common" xsi:type="p:MSFT_WmiError_Type">\
<p:CIMStatusCode xsi:type="cim:cimUnsignedInt">27</p:CIMStatusCode>\
<p:CIMStatusCodeDescription xsi:type="cim:cimString" xsi:nil="true" />\
<p:ErrorSource xsi:type="cim:cimString" xsi:nil="true" />\
<p:ErrorType xsi:type="cim:cimUnsignedShort">0</p:ErrorType>\
<p:Message xsi:type="cim:cimString">{detail} </p:Message>\
<p:MessageID xsi:type="cim:cimString">HRESULT 0x{code:x}</p:MessageID>\
<p:error_Category xsi:type="cim:cimUnsignedInt">30</p:error_Category>\
<p:error_Code xsi:type="cim:cimUnsignedInt">{code}</p:error_Code>\
<p:error_Type xsi:type="cim:cimString">HRESULT</p:error_Type>\
<p:error_WindowsErrorMessage xsi:type="cim:cimString">{detail} </p:error_WindowsErrorMessage></p:MSFT_WmiError>"""

_BODY = """<s:Fault><s:Code><s:Value>{value}</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>\
<s:Reason><s:Text xml:lang="en-US">{reason}</s:Text></s:Reason><s:Detail>{detail}</s:Detail></s:Fault>"""


class Fault(Exception):
    """What the service answers with HTTP 500 in place of what was asked.

    Args:
        code: of WSManFault, or of MSFT_WmiError where ``wmi``.
        subcode: such as ``w:TimedOut``.
        reason: the service's words.
        value: whose fault it is: ``s:Sender`` or ``s:Receiver``.
        wmi: whether the detail is an MSFT_WmiError, as quotas have it.
    """

    def __init__(
        self,
        code: int,
        subcode: str = "w:InternalError",
        reason: str = "The WS-Management service cannot process the request.",
        value: str = "s:Receiver",
        wmi: bool = False,
    ) -> None:
        super().__init__(f"{code} {subcode}: {reason}")
        self.code = code
        self.subcode = subcode
        self.reason = reason
        self.value = value
        self.wmi = wmi

    @property
    def body(self) -> str:
        """The content of the answer's Body."""
        reason = escape(self.reason)
        detail = (_WMI if self.wmi else _WSMAN).format(code=self.code, machine=MACHINE, detail=reason)
        return _BODY.format(value=self.value, subcode=self.subcode, reason=reason, detail=detail)


def known(code: int, **words: object) -> Fault:
    """Return the fault with this code as Windows words it; an InternalError for a code that is not known here.

    Args:
        code: of the fault.
        words: what stands in its text: ``id`` of a shell, ``limit`` of shells.
    """
    subcode, reason, value, wmi = _KNOWN.get(
        code, ("w:InternalError", f"The service failed with error {code}.", "s:Receiver", False)
    )
    return Fault(code, subcode, reason.format(**{"id": "", "limit": 30, **words}), value, wmi)


TIMED_OUT = 2150858793
NO_SHELL = 2150858843
MAX_SHELLS = 2150859173
MAX_OPERATIONS = 2150859174
SCHEMA = 2150858817
NO_RESOURCE = 2150858752
BUSY = 170
ABORTED = 995
LINE_TOO_LONG = 206
FILE_NOT_FOUND = 2147942402
NO_PIPE = 2147942509
"""What a Send gets whose process has ended (ansible 69595)."""
NO_DIRECTORY = 2147942667

_KNOWN = {
    TIMED_OUT: (
        "w:TimedOut",
        "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  ",
        "s:Receiver",
        False,
    ),
    NO_SHELL: (
        "w:InvalidSelectors",
        "The request for the Windows Remote Shell with ShellId {id} failed because the shell was not found on the "
        "server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the server. "
        "Provide the correct ShellId or create a new shell and retry the operation. ",
        "s:Sender",
        False,
    ),
    MAX_SHELLS: (
        "w:QuotaLimit",
        "The WS-Management service cannot process the request. This user is allowed a maximum number of {limit} "
        "concurrent shells, which has been exceeded. Close existing shells or raise the quota for this user. ",
        "s:Receiver",
        True,
    ),
    MAX_OPERATIONS: (
        "w:InternalError",
        "The WS-Management service cannot process the request. The maximum number of concurrent operations for this "
        "user has been exceeded. Close existing operations for this user, or raise the quota for this user. ",
        "s:Receiver",
        True,
    ),
    SCHEMA: (
        "w:SchemaValidationError",
        "The SOAP XML in the message does not match the corresponding XML schema definition. Change the XML and "
        "retry. ",
        "s:Sender",
        False,
    ),
    NO_RESOURCE: (
        "a:DestinationUnreachable",
        "The WS-Management service cannot process the request. The service cannot find the resource identified by the "
        "resource URI and selectors. ",
        "s:Sender",
        False,
    ),
    BUSY: ("w:InternalError", "The requested resource is in use. ", "s:Receiver", False),
    5: ("w:AccessDenied", "Access is denied. ", "s:Sender", False),
    87: ("w:InternalError", "The parameter is incorrect. ", "s:Receiver", False),
    ABORTED: (
        "w:InternalError",
        "The I/O operation has been aborted because of either a thread exit or an application request. ",
        "s:Receiver",
        False,
    ),
    LINE_TOO_LONG: ("w:InternalError", "The filename or extension is too long. ", "s:Receiver", False),
    FILE_NOT_FOUND: ("w:InternalError", "The system cannot find the file specified. ", "s:Receiver", False),
    NO_PIPE: ("w:InternalError", "The pipe has been ended. ", "s:Receiver", False),
    NO_DIRECTORY: ("w:InternalError", "The directory name is invalid. ", "s:Receiver", False),
}
