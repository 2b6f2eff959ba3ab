"""A clock that shows which replica responded.

    flask --app app run --port 5000
    NAME=clock-2 flask --app app run --port 5001
"""

import os
from datetime import datetime

from flask import Flask, jsonify

app = Flask(__name__)
name = os.environ.get("NAME", "clock")


@app.get("/")
def home():
    now = datetime.now().strftime("%H:%M:%S")
    return f"""<!doctype html>
<title>clock</title>
<img src="/images/clock.svg" alt="a clock" width="200" height="200">
<h1>{now}</h1>
<p>served by {name}</p>
"""


@app.get("/api/time")
def api_time():
    now = datetime.now().astimezone()
    return jsonify(time=now.isoformat(), unix=int(now.timestamp()), replica=name)


@app.get("/healthz")
def healthz():
    return "ok"
