package telemetry

// kind is the type in a TYPE line.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
	summary   kind = "summary"
)

// family is what all series of one name have in common.
type family struct {
	kind kind
	help string // one line, without backslashes
}

// families is read only. docs/metrics.md has the same in more detail.
var families = map[string]family{
	"lb_requests_total":           {counter, "Completed requests, by exact status."},
	"lb_http_requests_total":      {counter, "Requests, by the protocol of the client."},
	"lb_request_duration_seconds": {histogram, "Time from a request's first byte to the last byte of its response."},
	"lb_request_bytes_total":      {counter, "Bytes of request bodies received."},
	"lb_response_bytes_total":     {counter, "Bytes of responses sent, including heads."},
	"lb_requests_in_flight":       {gauge, "Requests in flight."},
	"lb_upgraded_connections":     {gauge, "WebSockets and other upgraded connections among the requests in flight."},
	"lb_rejected_requests_total":  {counter, "Requests that lb rejected, by reason."},

	"lb_limit_decisions_total":    {counter, "Decisions of rate and concurrency limits, by result."},
	"lb_limit_redis_up":           {gauge, "1 while that Redis can be used for limits of a fleet."},
	"lb_limit_redis_seconds":      {histogram, "Time of a round trip to Redis."},
	"lb_limit_redis_errors_total": {counter, "Round trips to Redis that failed or took too long."},
	"lb_mirrored_requests_total":  {counter, "Copies of requests for mirrors, by result."},

	"lb_handler_panics_total": {counter, "Requests that got 500 because of a bug in lb."},

	"lb_backend_requests_total":       {counter, "Responses received from a backend, by exact status."},
	"lb_backend_duration_seconds":     {histogram, "Time from sending a request to the backend's response head."},
	"lb_backend_connect_seconds":      {histogram, "Time to open a connection to a backend, including TLS."},
	"lb_backend_up":                   {gauge, "1 while the backend is usable."},
	"lb_backend_state":                {gauge, "1 for the current state."},
	"lb_backend_in_flight":            {gauge, "Requests in flight to the backend."},
	"lb_backend_connections":          {gauge, "Open connections to the backend, by state."},
	"lb_backend_connections_total":    {counter, "Connections to the backend opened, reused and failed."},
	"lb_backend_errors_total":         {counter, "Failed tries on the backend, by reason."},
	"lb_backend_ejections_total":      {counter, "Ejections of the backend."},
	"lb_health_checks_total":          {counter, "Active health checks of the backend, by result."},
	"lb_retries_total":                {counter, "Retries, by reason."},
	"lb_retry_budget_exhausted_total": {counter, "Retries not made because the pool's budget was used up."},
	"lb_grpc_responses_total":         {counter, "Responses to calls by gRPC, by grpc-status."},
	"lb_queue_length":                 {gauge, "Requests in the queue."},
	"lb_queue_wait_seconds":           {histogram, "Time that requests spent in the queue."},
	"lb_queue_rejected_total":         {counter, "Requests that got 503 because the queue was full or they waited too long."},
	"lb_pool_backends":                {gauge, "Backends of the pool, by state."},
	"lb_pool_panic":                   {gauge, "1 while the pool also uses unusable backends because too few are usable."},

	"lb_static_requests_total":  {counter, "Requests for static files, by result."},
	"lb_static_cache_bytes":     {gauge, "Bytes of file bodies held in memory."},
	"lb_static_cache_files":     {gauge, "Files held in memory."},
	"lb_static_evictions_total": {counter, "Files removed from memory to make room."},

	"lb_cache_requests_total":  {counter, "Requests to routes with a cache, by result."},
	"lb_cache_bytes":           {gauge, "Bytes of memory that stored responses use."},
	"lb_cache_responses":       {gauge, "Responses held in memory."},
	"lb_cache_evictions_total": {counter, "Responses removed from memory to make room."},

	"lb_connections":              {gauge, "Open client connections."},
	"lb_connections_total":        {counter, "Accepted client connections."},
	"lb_tls_handshakes_total":     {counter, "TLS handshakes with clients, by result."},
	"lb_loop_delay_seconds":       {histogram, "Time that something ready had to wait for its event loop."},
	"lb_access_log_dropped_total": {counter, "Access log lines dropped because the log could not be written fast enough."},

	"lb_tls_certificate_expiry_timestamp_seconds": {gauge, "Unix time at which the certificate expires."},
	"lb_certificates":                         {gauge, "Certificates presented to clients, by state."},
	"lb_config_reloads_total":                 {counter, "Reloads of the configuration, by result."},
	"lb_config_last_reload_timestamp_seconds": {gauge, "Unix time of the last reload, by result."},
	"lb_build_info":                           {gauge, "1, with the versions as labels."},

	"go_gc_cpu_seconds_total":                {counter, "Processor time spent in garbage collection."},
	"go_gc_duration_seconds":                 {summary, "Pauses of garbage collection cycles."},
	"go_gomaxprocs":                          {gauge, "Processors that can run Go code at the same time."},
	"go_goroutines":                          {gauge, "Number of goroutines."},
	"go_info":                                {gauge, "1, with the Go version as label."},
	"go_memlimit_bytes":                      {gauge, "The soft memory limit GOMEMLIMIT."},
	"go_memstats_alloc_bytes":                {gauge, "Bytes of live and not yet collected heap objects."},
	"go_memstats_alloc_bytes_total":          {counter, "Bytes allocated on the heap since the start."},
	"go_memstats_frees_total":                {counter, "Heap objects freed since the start."},
	"go_memstats_heap_idle_bytes":            {gauge, "Heap memory without objects."},
	"go_memstats_heap_inuse_bytes":           {gauge, "Heap memory with objects."},
	"go_memstats_heap_objects":               {gauge, "Heap objects allocated."},
	"go_memstats_heap_sys_bytes":             {gauge, "Heap memory obtained from the system."},
	"go_memstats_mallocs_total":              {counter, "Heap objects allocated since the start."},
	"go_memstats_next_gc_bytes":              {gauge, "Heap size that starts the next garbage collection."},
	"go_memstats_stack_inuse_bytes":          {gauge, "Memory of goroutine stacks."},
	"go_memstats_sys_bytes":                  {gauge, "Memory obtained from the system by the Go runtime."},
	"go_mutex_wait_seconds_total":            {counter, "Time that goroutines waited for locks."},
	"go_threads":                             {gauge, "Operating system threads created."},
	"process_cpu_seconds_total":              {counter, "Processor time of the process, user and system."},
	"process_io_storage_read_bytes_total":    {counter, "Bytes that the process caused to be read from storage."},
	"process_io_storage_written_bytes_total": {counter, "Bytes that the process caused to be written to storage."},
	"process_major_pagefaults_total":         {counter, "Page faults that needed a read from storage."},
	"process_max_fds":                        {gauge, "Limit of open file descriptors."},
	"process_open_fds":                       {gauge, "Open file descriptors."},
	"process_resident_memory_bytes":          {gauge, "Resident memory."},
	"process_start_time_seconds":             {gauge, "Unix time at which the process started."},
	"process_virtual_memory_bytes":           {gauge, "Virtual memory."},
}
