// A rate that climbs to a peak, stays there and falls again: where does the balancer, or what is behind it,
// begin to slow down, and does it recover? Run it while a backend is drained, killed or reloaded, too.
// Parameters come from the environment, all optional:
//
//   URL         http://127.0.0.1:8080/
//   START       100      requests per second at both ends
//   PEAK        5000     requests per second at the top
//   RAMP        30s      up, and down again
//   HOLD        30s      at the top
//   VUS         200      connections at the start
//   MAX_VUS     5000     connections at most; beyond it iterations are dropped
//   P99_MS      500      thresholds: the run fails (status 99) when one is crossed
//   MAX_FAILED  0.001    share of failed requests
//   MAX_DROPPED 0.01     requests that were due and could not be sent, a second, as a share of PEAK
//   ABORT       0        1: stop at the first crossed threshold, to find the limit
//   INSECURE    0        1: accept any certificate

import http from 'k6/http';
import { check } from 'k6';
import { Rate } from 'k6/metrics';

const url = __ENV.URL || 'http://127.0.0.1:8080/';
const start = Number(__ENV.START || 100);
const peak = Number(__ENV.PEAK || 5000);
const ramp = __ENV.RAMP || '30s';
const hold = __ENV.HOLD || '30s';

// Shows how many of the failures are refusals that the balancer means: 503 with Retry-After when it is full.
const refused = new Rate('refused');

function threshold(condition) {
  return { threshold: condition, abortOnFail: __ENV.ABORT === '1', delayAbortEval: '5s' };
}

export const options = {
  discardResponseBodies: true,
  insecureSkipTLSVerify: __ENV.INSECURE === '1',
  summaryTrendStats: ['min', 'med', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
  scenarios: {
    ramp: {
      executor: 'ramping-arrival-rate',
      startRate: start,
      timeUnit: '1s',
      preAllocatedVUs: Number(__ENV.VUS || 200),
      maxVUs: Number(__ENV.MAX_VUS || 5000),
      stages: [
        { target: peak, duration: ramp },
        { target: peak, duration: hold },
        { target: start, duration: ramp },
      ],
    },
  },
  thresholds: {
    http_req_duration: [threshold(`p(99)<${__ENV.P99_MS || 500}`)],
    http_req_failed: [threshold(`rate<=${__ENV.MAX_FAILED || 0.001}`)],
    dropped_iterations: [threshold(`rate<=${peak * Number(__ENV.MAX_DROPPED || 0.01)}`)],
  },
};

export default function () {
  const response = http.get(url);
  check(response, { 'status is 200': (r) => r.status === 200 });
  refused.add(response.status === 503 && response.headers['Retry-After'] !== undefined);
}
