"""The line between a client and the gateway: it notes what passes, and can be cut in the midst of an answer."""

import http.client
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KEPT = ("connection", "transfer-encoding", "content-length", "host")


class Line(ThreadingHTTPServer):
    """A server of its own for each run of a client; `cut`, where given, says when it is cut, once."""

    daemon_threads = True

    def __init__(self, gateway, cut=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.gateway = urlsplit(gateway)
        self.exchanges = []
        self.was_cut = False
        self.may_cut = cut is not None
        self._cut = cut
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def cuts(self, exchange):
        """Whether this is the moment to cut."""
        if not self.may_cut:
            return False
        with self._lock:
            if self.was_cut or not self._cut(self.exchanges):
                return False
            self.was_cut = exchange["cut"] = True
        return True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may hang up as it likes
            super().handle_error(request, client_address)

    def close(self):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self._pass(b"")

    do_HEAD = do_GET

    def do_POST(self):
        self._pass(self._body())

    def _body(self):
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _pass(self, body):
        exchange = {"at": time.time(), "method": self.command, "path": self.path, "headers": dict(self.headers),
                    "body": body, "status": None, "answer": b"", "cut": False, "ended": False, "until": 0}
        self.server.exchanges.append(exchange)
        gateway = http.client.HTTPConnection(self.server.gateway.hostname, self.server.gateway.port)
        if self.server.may_cut:
            threading.Thread(target=self._watch, args=(gateway, exchange), daemon=True).start()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in KEPT}
        try:
            gateway.request(self.command, self.path, body, headers)
            self._back(gateway, exchange)
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # one end went away, or the line was cut
        finally:
            exchange["until"], exchange["ended"] = time.time(), True
            gateway.close()

    def _back(self, gateway, exchange):
        """Passes the answer on as it comes, looking for the moment to cut."""
        answer = gateway.getresponse()
        exchange["status"] = answer.status
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in KEPT:
                self.send_header(name, value)
        bare = self.command == "HEAD" or answer.status in (204, 304)
        if not bare:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        while not bare and (piece := answer.read1(256)):
            exchange["answer"] += piece
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            self._cut_now(gateway, exchange)
        if not bare:
            self.wfile.write(b"0\r\n\r\n")

    def _watch(self, gateway, exchange):
        """Looks for the moment to cut also while nothing comes."""
        while not exchange["ended"]:
            self._cut_now(gateway, exchange)
            time.sleep(0.03)

    def _cut_now(self, gateway, exchange):
        """Ends both connections without an end of the answer, as a broken network does."""
        if gateway.sock and self.server.cuts(exchange):
            self.close_connection = True
            for end in (self.connection, gateway.sock):
                end.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass
