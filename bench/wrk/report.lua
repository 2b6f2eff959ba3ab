-- Prints one line of JSON after wrk's own summary: what bench/ reads.
--
--   wrk -t2 -c64 -d10s -s bench/wrk/report.lua http://127.0.0.1:8080/
--
-- Latencies are in microseconds. wrk is a closed loop: a connection sends its next request only when it has
-- the response to the last, so a stall hides the requests that would have been sent meanwhile. For honest
-- percentiles use a fixed rate: the "rate" scenario, or ../k6/constant-arrival-rate.js.

-- METHOD and BODY_BYTES in the environment: another method than GET, and a body.

wrk.method = os.getenv("METHOD") or wrk.method
wrk.body = os.getenv("BODY_BYTES") and ("x"):rep(tonumber(os.getenv("BODY_BYTES"))) or wrk.body

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"bytes":%d,"duration_us":%d,' ..
    '"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d,' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.bytes, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max,
    e.connect, e.read, e.write, e.status, e.timeout))
end
