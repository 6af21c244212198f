"""A bot in Python that echoes messages. It has no token: that is put on its
requests by the proxy at LINE_API_URL."""
import base64
import hashlib
import hmac
import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with open(os.environ["LINE_CHANNEL_SECRET_FILE"], encoding="utf-8") as f:
            secret = f.read().strip()
        digest = hmac.digest(secret.encode(), body, hashlib.sha256)
        signature = self.headers.get("X-Line-Signature", "")
        if not hmac.compare_digest(base64.b64encode(digest).decode(), signature):
            self.send_error(400, "not signed by LINE")
            return
        try:
            for event in json.loads(body)["events"]:
                if event["type"] == "message" and event["message"]["type"] == "text":
                    reply(event["replyToken"], event["message"]["text"])
        except OSError as err:
            print("cannot reply:", err, file=sys.stderr)
            self.send_error(502, "cannot reply")
            return
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


def reply(token, text):
    message = {"replyToken": token, "messages": [{"type": "text", "text": text}]}
    request = Request(
        os.environ["LINE_API_URL"] + "/v2/bot/message/reply",
        json.dumps(message).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=30):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # process 1 ignores it else
host, port = os.environ["LISTEN"].rsplit(":", 1)
ThreadingHTTPServer((host, int(port)), Webhook).serve_forever()
