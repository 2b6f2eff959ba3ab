// Requests at a constant rate, independent of the responses: the load to use for claims about errors and
// percentiles. Parameters come from the environment, all optional:
//
//   URLS        http://127.0.0.1:8080/   comma-separated, asked in turn
//   RATE        1000                     requests per second
//   DURATION    30s
//   VUS         100                      connections at the start
//   MAX_VUS     2000                     connections at most; beyond it iterations are dropped
//   P95_MS      50                       thresholds: the run fails (status 99) when one is crossed
//   P99_MS      200
//   MAX_FAILED  0                        share of failed requests, 0.001 is one in a thousand
//   INSECURE    0                        1: accept any certificate

import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';

const urls = (__ENV.URLS || 'http://127.0.0.1:8080/').split(',');

export const options = {
  discardResponseBodies: true,
  insecureSkipTLSVerify: __ENV.INSECURE === '1',
  summaryTrendStats: ['min', 'med', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
  scenarios: {
    constant: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 1000),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: Number(__ENV.VUS || 100),
      maxVUs: Number(__ENV.MAX_VUS || 2000),
    },
  },
  thresholds: {
    http_req_duration: [`p(95)<${__ENV.P95_MS || 50}`, `p(99)<${__ENV.P99_MS || 200}`],
    http_req_failed: [`rate<=${__ENV.MAX_FAILED || 0}`],
    // A dropped iteration is a request that was due and never sent: the percentiles would not show it.
    dropped_iterations: ['count<1'],
  },
};

export default function () {
  const url = urls[exec.scenario.iterationInTest % urls.length];
  // Without a fixed name every URL would become a series of its own in k6's results.
  const response = http.get(url, { tags: { name: url.split('?')[0] } });
  check(response, { 'status is 200': (r) => r.status === 200 });
}
