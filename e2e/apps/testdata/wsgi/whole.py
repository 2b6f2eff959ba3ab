"""A WSGI application that reads the whole body, and returns as many bytes as the query asks for."""


def app(environ, start_response):
    got = len(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    body = b"x" * int(environ["QUERY_STRING"] or 0) or str(got).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
