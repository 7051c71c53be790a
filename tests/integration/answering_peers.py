"""Peers of each protocol that answer a delivery with what a test sets, or not at all."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, build_context, evt

from tests.builders.delivery_answers import Answer, HttpAnswer, Silence
from tests.waiting import HOST
from triage.destinations.mllp import END, START, control_id_of


@dataclass
class AnsweringPeer:
    """What a peer answers, and the products that it has read."""

    answer: Answer = Silence.ABSENT
    uid: str = ""  #: of the product that is sent, for the body of a response
    read: list[bytes] = field(default_factory=list)
    port: int = 0
    ended: threading.Event = field(default_factory=threading.Event)  #: ends every silence

    def keep_silent(self) -> None:
        self.ended.wait()


@contextmanager
def answering_pacs() -> Iterator[AnsweringPeer]:
    """Run a Storage SCP; its answer is a status or a silence."""
    peer = AnsweringPeer()
    ae = AE(ae_title="PACS")
    ae.supported_contexts = AllStoragePresentationContexts

    def negotiate(event: evt.Event) -> None:
        ae.require_calling_aet = ["SOMEBODY"] if peer.answer is Silence.REJECTS else []
        if peer.answer is Silence.REFUSES_CLASS:
            event.assoc.acceptor.supported_contexts = [build_context("1.2.840.10008.1.1")]

    def store(event: evt.Event) -> int:
        request: Any = event.request
        peer.read.append(request.DataSet.getvalue())
        if isinstance(peer.answer, int):
            return peer.answer
        if peer.answer is Silence.CLOSES:
            event.assoc.abort()
        else:
            peer.keep_silent()
        return 0

    handlers: Any = [(evt.EVT_REQUESTED, negotiate), (evt.EVT_C_STORE, store)]
    server: Any = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
    peer.port = server.server_address[1]
    try:
        yield peer
    finally:
        peer.ended.set()
        server.shutdown()


@contextmanager
def answering_web() -> Iterator[AnsweringPeer]:
    """Run an HTTP service; its answer is a response or a silence."""
    peer = AnsweringPeer()

    class AnsweringHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            peer.read.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.close_connection = True
            if isinstance(peer.answer, HttpAnswer):
                body = peer.answer.body(peer.uid)
                self.send_response(peer.answer.code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            elif peer.answer is Silence.SILENT:
                peer.keep_silent()

        def log_message(self, *_: object) -> None:
            pass

    with _serving(ThreadingHTTPServer((HOST, 0), AnsweringHandler), peer):
        yield peer


@contextmanager
def answering_ris() -> Iterator[AnsweringPeer]:
    """Run a receiver of HL7 messages over MLLP; its answer is a message or a silence.

    `{}` in an answer stands for the control ID of the message.
    """
    peer = AnsweringPeer()

    class MllpHandler(socketserver.BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            if peer.answer is Silence.CLOSES_FIRST:
                return
            received = b""
            while not received.endswith(END):
                received += self.request.recv(1 << 16)
            message = received.removeprefix(START).removesuffix(END)
            peer.read.append(message)
            if isinstance(peer.answer, bytes):
                named = control_id_of(message).encode()
                self.request.sendall(START + peer.answer.replace(b"{}", named) + END)
            elif peer.answer is Silence.SILENT:
                peer.keep_silent()

    with _serving(socketserver.ThreadingTCPServer((HOST, 0), MllpHandler), peer):
        yield peer


@contextmanager
def _serving(server: socketserver.TCPServer, peer: AnsweringPeer) -> Iterator[None]:
    peer.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        peer.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


#: A running peer for each kind of destination.
PEERS: Mapping[str, Callable[[], AbstractContextManager[AnsweringPeer]]] = {
    "dicom": answering_pacs,
    "stow": answering_web,
    "webhook": answering_web,
    "mllp": answering_ris,
}
