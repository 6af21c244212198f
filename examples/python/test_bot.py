"""A bot's tests in Python, with nothing but the standard library.

The emulator of LINE is the program lineoauth, on the PATH or where the variable
LINEOAUTH says:

    python3 -m unittest -v test_bot.py
"""

import json
import os
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request


class Emulator:
    """LINE's stand-in, a process of its own."""

    def __init__(self):
        program = os.environ.get("LINEOAUTH", "lineoauth")
        self.process = subprocess.Popen([program, "serve"], stdout=subprocess.PIPE, text=True)
        ready = json.loads(self.process.stdout.readline())
        self.url = ready["url"]
        self.channel_id = ready["channel_id"]
        self.channel_secret = ready["channel_secret"]

    def stop(self):
        self.process.terminate()
        self.process.stdout.close()
        if self.process.wait(timeout=30) != 0:
            raise RuntimeError("the emulator failed")

    def ask(self, method, path, body=None):
        """One of the emulator's own requests."""
        return call(method, self.url + "/_emulator/" + path, body)


def call(method, url, body=None, token=None):
    """Sends JSON, and returns what the answer's JSON says."""
    request = urllib.request.Request(url, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token is not None:
        request.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


class Bot:
    """What is tested: in production, url is https://api.line.me."""

    def __init__(self, url, channel_id, channel_secret):
        self.url = url
        self.credentials = {"client_id": channel_id, "client_secret": channel_secret}

    def issue(self):
        form = {"grant_type": "client_credentials", **self.credentials}
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(self.url + "/oauth2/v3/token", data, timeout=30) as response:
            return json.load(response)["access_token"]

    def push(self, token, user, text):
        body = {"to": user, "messages": [{"type": "text", "text": text}]}
        return call("POST", self.url + "/v2/bot/message/push", body, token)


class BotTest(unittest.TestCase):
    user = "U" + 32 * "0"

    @classmethod
    def setUpClass(cls):
        cls.line = Emulator()
        cls.addClassCleanup(cls.line.stop)

    def setUp(self):
        self.line.ask("POST", "reset", {})
        self.bot = Bot(self.line.url, self.line.channel_id, self.line.channel_secret)

    def refused(self, status, *args):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            args[0](*args[1:])
        caught.exception.close()
        self.assertEqual(caught.exception.code, status)
        return caught.exception

    def test_push(self):
        self.bot.push(self.bot.issue(), self.user, "hello")
        messages = self.line.ask("GET", "state")["messages"]
        self.assertEqual(len(messages), 1)
        self.assertIn("hello", json.dumps(messages))

    def test_token_expires(self):
        token = self.bot.issue()
        self.line.ask("POST", "clock", {"advance": "15m1s"})
        self.refused(401, self.bot.push, token, self.user, "too late")
        self.bot.push(self.bot.issue(), self.user, "with another token")

    def test_line_is_busy(self):
        self.line.ask("POST", "faults", {"fault": "rate-limited", "retry_after": "7"})
        error = self.refused(429, self.bot.issue)
        self.assertEqual(error.headers["Retry-After"], "7")
        self.bot.issue()

    def test_reset(self):
        self.bot.push(self.bot.issue(), self.user, "forgotten")
        self.line.ask("POST", "reset", {})
        state = self.line.ask("GET", "state")
        self.assertFalse(state.get("messages"))
        self.assertFalse(any(state["calls"].values()))


if __name__ == "__main__":
    unittest.main()
