"""An application of Flask that reads what it is sent, for gunicorn."""

from flask import Flask, request

app = Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def echo():
    return request.get_data() or b"ok"
