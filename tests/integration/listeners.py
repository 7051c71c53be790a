"""An HL7 listener over MLLP, built with the server of hl7apy, which validates strictly.

It answers with what a test sets, and keeps every complete message.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message
from hl7apy.mllp import AbstractHandler, MLLPRequestHandler, MLLPServer
from hl7apy.parser import parse_message

from tests.waiting import HOST


@dataclass
class PlainListener:
    """The behaviour of an HL7 listener, and the messages that it received."""

    code: str = "AA"
    text: str = ""
    raw: Callable[[str], str] | None = None  #: the whole answer to a control id, framed or not
    delay_s: float = 0.0
    messages: list[Any] = field(default_factory=list)
    port: int = 0

    @property
    def control_ids(self) -> list[str]:
        return [message.msh.msh_10.value for message in self.messages]

    def answer(self, received: str) -> str:
        message: Any = parse_message(received, validation_level=VALIDATION_LEVEL.STRICT)
        assert message.validate()
        self.messages.append(message)
        time.sleep(self.delay_s)
        control_id = message.msh.msh_10.value
        if self.raw is not None:
            return self.raw(control_id)
        return acknowledgement(control_id, self.code, self.text)


def acknowledgement(control_id: str, code: str = "AA", text: str = "") -> str:
    """Return a framed acknowledgement of a message."""
    ack: Any = Message("ACK", version="2.5.1")
    ack.msh.msh_9 = "ACK^R01^ACK"
    ack.msh.msh_10 = "A1"
    ack.msa.msa_1, ack.msa.msa_2 = code, control_id
    if text:
        ack.msa.msa_3 = text
    return str(ack.to_mllp())


@contextmanager
def listener(tls: ssl.SSLContext | None = None, **settings: Any) -> Iterator[PlainListener]:
    """Run an HL7 listener."""
    ours = PlainListener(**settings)

    class PlainHandler(AbstractHandler):  # type: ignore[misc]
        def reply(self) -> str:
            return ours.answer(self.incoming_message)

    class PlainServer(MLLPServer):  # type: ignore[misc]
        def get_request(self) -> Any:
            connection, address = super().get_request()
            if tls is not None:
                connection.settimeout(60)
                connection = tls.wrap_socket(connection, server_side=True)
            return connection, address

        def handle_error(self, *_: Any) -> None:
            pass  # the peer closed the connection, or there is no answer to send

    handlers = {"ORU^R01^ORU_R01": (PlainHandler,)}
    server = PlainServer(HOST, 0, handlers, timeout=60, request_handler_class=MLLPRequestHandler)
    ours.port = server.server_address[1]
    listening = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    listening.start()
    try:
        yield ours
    finally:
        server.shutdown()
        server.server_close()
        listening.join()
