"""A WSGI application that returns a body whatever the method and the status, as one without a framework may."""

FOREIGN = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nFOREIGN"

STATUS = {"/200": "200 OK", "/204": "204 No Content", "/304": "304 Not Modified"}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path in STATUS:
        start_response(STATUS[path], [("Content-Length", str(len(FOREIGN)))])
        return [FOREIGN]
    if path == "/chunked":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([FOREIGN[:20], FOREIGN[20:]])
    body = path.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    import sys

    server, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if server == "waitress":
        import waitress

        waitress.serve(app, host=host, port=port, threads=8)
    elif server == "cheroot":
        from cheroot.wsgi import Server

        Server((host, port), app, numthreads=8).start()
    elif server == "gunicorn":
        from gunicorn.app.wsgiapp import WSGIApplication

        sys.argv = ["gunicorn", "-k", "gthread", "--threads", "8", "-b", f"{host}:{port}", "bodies:app"]
        WSGIApplication().run()
