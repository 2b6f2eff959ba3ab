package telemetry

// kind is what a TYPE line says.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
	summary   kind = "summary"
)

// family is what is said once about all series with one name.
type family struct {
	kind kind
	help string // one line, without backslashes
}

// families is read only. docs/metrics.md tells the same at more length.
var families = map[string]family{
	"lb_requests_total":           {counter, "Requests answered, by the exact status sent."},
	"lb_request_duration_seconds": {histogram, "Time from a request's first byte to the last byte of its answer."},
	"lb_request_bytes_total":      {counter, "Bytes of request bodies received."},
	"lb_response_bytes_total":     {counter, "Bytes of answers sent, heads included."},
	"lb_requests_in_flight":       {gauge, "Requests being answered now."},
	"lb_upgraded_connections":     {gauge, "Of the requests in flight: WebSockets and other upgraded connections."},
	"lb_rejected_requests_total":  {counter, "Requests that lb refused itself, by reason."},

	"lb_handler_panics_total": {counter, "Requests answered 500 because of a fault in lb itself."},

	"lb_backend_requests_total":       {counter, "Answers received from a backend, by exact status."},
	"lb_backend_duration_seconds":     {histogram, "Time from sending a request to the head of the backend's answer."},
	"lb_backend_connect_seconds":      {histogram, "Time to open a connection to a backend, TLS included."},
	"lb_backend_up":                   {gauge, "1 while the backend is usable."},
	"lb_backend_state":                {gauge, "1 for the state that holds."},
	"lb_backend_in_flight":            {gauge, "Requests on the backend now."},
	"lb_backend_connections":          {gauge, "Connections open to the backend, by state."},
	"lb_backend_connections_total":    {counter, "Connections to the backend opened, reused and failed."},
	"lb_backend_errors_total":         {counter, "Attempts on the backend that failed, by reason."},
	"lb_backend_ejections_total":      {counter, "Times the backend was ejected after failures in a row."},
	"lb_health_checks_total":          {counter, "Active health checks of the backend, by result."},
	"lb_retries_total":                {counter, "Attempts after the first, by the reason of the retry."},
	"lb_retry_budget_exhausted_total": {counter, "Retries not made because the pool's budget was spent."},
	"lb_queue_length":                 {gauge, "Requests that wait for a backend with room."},
	"lb_queue_wait_seconds":           {histogram, "Time that queued requests waited."},
	"lb_queue_rejected_total":         {counter, "Requests that found the queue full or waited too long."},
	"lb_pool_backends":                {gauge, "Backends of the pool, by state."},
	"lb_pool_panic":                   {gauge, "1 while the pool uses all backends because too few are usable."},

	"lb_static_requests_total":  {counter, "Requests for static files, by result."},
	"lb_static_cache_bytes":     {gauge, "Bytes of file bodies held in memory."},
	"lb_static_cache_files":     {gauge, "Files held in memory."},
	"lb_static_evictions_total": {counter, "Files put out of memory to make room."},

	"lb_connections":              {gauge, "Client connections open now."},
	"lb_connections_total":        {counter, "Client connections accepted."},
	"lb_tls_handshakes_total":     {counter, "TLS handshakes with clients, by result."},
	"lb_access_log_dropped_total": {counter, "Access log lines lost because the log could not be written fast enough."},

	"lb_tls_certificate_expiry_timestamp_seconds": {gauge, "Unix time when the certificate ends."},
	"lb_config_reloads_total":                     {counter, "Reloads of the configuration, by result."},
	"lb_config_last_reload_timestamp_seconds":     {gauge, "Unix time of the last reload, by result."},
	"lb_build_info":                               {gauge, "1, with the versions as labels."},

	"go_gc_cpu_seconds_total":                {counter, "Processor time spent in garbage collection."},
	"go_gc_duration_seconds":                 {summary, "Pauses of garbage collection cycles."},
	"go_gomaxprocs":                          {gauge, "Processors that run Go code at once."},
	"go_goroutines":                          {gauge, "Goroutines that exist."},
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
	"process_major_pagefaults_total":         {counter, "Page faults that needed storage."},
	"process_max_fds":                        {gauge, "Limit of open file descriptors."},
	"process_open_fds":                       {gauge, "Open file descriptors."},
	"process_resident_memory_bytes":          {gauge, "Resident memory."},
	"process_start_time_seconds":             {gauge, "Unix time when the process started."},
	"process_virtual_memory_bytes":           {gauge, "Virtual memory."},
}
