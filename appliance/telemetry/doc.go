// Package telemetry shows operators what the proxy does: structured logs, a page of metrics, a line of live figures.
//
// Metrics are in the Prometheus text format; the page's own HELP lines document each family. Times are seconds, sizes bytes.
// Counters end in _total. The families, with their labels:
//
//	sdp_queries_total{transport}               sdp_cache_hits_total, sdp_cache_misses_total, sdp_coalesced_total
//	                                           sdp_followed_total, sdp_follows_failed_total
//	sdp_answers_total{rcode}                   sdp_drops_total{reason}, sdp_shed_total, sdp_refused_total, sdp_prohibited_total, sdp_held_failures_total,
//	                                           sdp_local_answers_total
//	sdp_malformed_total{fault}                 sdp_truncated_total, sdp_failed_total
//	sdp_requests_total{kind,result}            sdp_requests_in_flight, sdp_transfer_messages_total, sdp_transfer_bytes_total
//	sdp_changed_answers_total{reason}          sdp_nxdomain_cuts_total, sdp_loop_queries_total
//	sdp_cookies_total{cookie}                  sdp_limited_total{limit,outcome}, sdp_limited_sources
//	sdp_client_subnet_answers_total{result}    sdp_passed_options_total{result}
//	sdp_retries_total                          sdp_query_duration_seconds (histogram)
//	sdp_in_flight, sdp_waiters                 sdp_tcp_connections, sdp_tcp_connection_events_total{event}
//	sdp_cache_entries, sdp_cache_bytes         sdp_cache_{inserts,evictions,expired,refused,flushes,flushed,refreshes,prefetches,prefetches_denied}_total
//	sdp_cache_shared_bytes                     sdp_cache_shared_{hits,misses,busy,inserts,evictions,refused}_total
//	sdp_remote_cache_{asked,late_hits,fills,fills_dropped,taken_out,connects,connect_errors,read,read_errors,stored,store_errors}_total, sdp_remote_cache_out_workers
//	sdp_inspection_{asked,recalled,denied}_total{point}, sdp_inspection_verdicts_total{point,verdict}, sdp_inspection_missing_total{point,reason}
//	sdp_inspection_duration_seconds{point} (histogram), sdp_inspection_verdicts_{kept,displaced}_total
//	sdp_inspection_rests_total                 sdp_inspection_errors_total{kind}
//	sdp_remote_cache_results_total{result}     sdp_remote_cache_unasked_total{reason}, sdp_remote_cache_unusable_values_total{reason}
//	                                           sdp_remote_cache_duration_seconds (histogram)
//	sdp_engine{engine}                         sdp_engine_fallback{reason}
//	                                           sdp_engine_{turns,enters,datagrams_received,datagrams_sent,messages_sent,rearms,buffers_exhausted}_total
//	sdp_engine_enters_per_query                sdp_worker_queries_total{worker,transport}, sdp_worker_skew
//	sdp_overloaded_workers                     sdp_refused_sources, sdp_refused_datagrams_total, sdp_socket_drops_total
//	                                           sdp_blocked_queries_total{action}
//	sdp_shedding_workers                       sdp_shed_heavy_total
//	sdp_blocks{of}, sdp_blocks_{added,queries}_total{by}, sdp_blocks_list_full_total,
//	                                           sdp_blocks_kernel_interfaces, sdp_blocks_kernel_drops_total,
//	                                           sdp_blocks_kept_writes_total{result}, sdp_blocks_restored_total
//	sdp_steering{by}
//
// with response policy zones:
//
//	sdp_rpz_in_force{zone}, sdp_rpz_serial{zone}, sdp_rpz_age_seconds{zone}, sdp_rpz_bytes{zone}, sdp_rpz_triggers{zone,kind}
//	sdp_rpz_hits_total{zone,action}            sdp_rpz_loads_total{zone,result}, sdp_rpz_records_left_out{zone,reason}
//	sdp_rpz_{notifies,notifies_refused,expired,copies_failed}_total
//
// of the process:
//
//	sdp_reloads_total{result}                  sdp_build_info{version,revision,go}
//	sdp_cache_dumps_total{result}              sdp_cache_dump_answers, sdp_cache_dump_bytes, sdp_cache_dump_duration_seconds,
//	                                           sdp_cache_dump_timestamp_seconds
//	sdp_cache_loads_total{result}              sdp_cache_damaged_files_total
//	sdp_name_lookups_total{result}             sdp_control_requests_total{result} (with a control socket)
//	sdp_metrics_denied_total
//
// for each rule
//
//	sdp_set_entries{set}                       sdp_set_reloads_total{result}
//	sdp_rule_hits_total{chain,rule}            sdp_rule_{delays,delays_denied,tees,tees_denied}_total (of all rules)
//
// and for each upstream, label upstream = its URL as configured:
//
//	sdp_upstream_state{state}                  sdp_upstream_transitions_total{state}
//	sdp_upstream_share                         sdp_upstream_probes_total{result}, sdp_upstream_probe_duration_seconds (summary)
//	sdp_upstream_up                            sdp_upstream_exchanges_total, sdp_upstream_answers_total
//	sdp_upstream_errors_total{fault}           sdp_upstream_rejected_total, sdp_upstream_truncated_total
//	sdp_upstream_addresses{state}              sdp_upstream_ddr{state}
//	sdp_upstream_duration_seconds (histogram)  sdp_upstream_in_flight, sdp_upstream_connections
//	sdp_upstream_insecure                      sdp_upstream_certificate_expiry_timestamp_seconds
//	                                           sdp_upstream_client_certificate_expiry_timestamp_seconds
//	sdp_upstream_tls_info{version,cipher,group,ech}
//	sdp_upstream_limit                         sdp_upstream_cancelled_total, sdp_upstream_subnet_refused_total
//	sdp_upstream_{dials,dial_errors,tls_resumed,dead_connections,fast_open,sent_bytes,received_bytes}_total
//	sdp_upstream_http_responses_total{class}   sdp_upstream_http_connections{version}, sdp_upstream_http_fallbacks_total (https and h3 only)
//	sdp_upstream_quic_early_data_total{result}, sdp_upstream_quic_stalled_total (quic only)
//	sdp_upstream_retired_connections_total{reason}
//
// and for each pool, label pool = its name:
//
//	sdp_pool_queries_total, sdp_pool_failed_total, sdp_pool_limited_total, sdp_pool_stale_total, sdp_pool_in_flight, sdp_pool_cache_bytes
//	sdp_pool_upstreams{state}
//	sdp_pool_retries_total, sdp_pool_retries_denied_total, sdp_pool_racers_total
//	sdp_pool_hedges_total, sdp_pool_hedges_denied_total, sdp_pool_hedge_wins_total
//
// for each view, label view = its name:
//
//	sdp_view_queries_total{transport}          sdp_view_cache_hits_total, sdp_view_misses_total, sdp_view_limited_total, sdp_view_full_total,
//	                                           sdp_view_shed_total, sdp_view_in_flight, sdp_view_cache_bytes
//
// followed by the go_* and process_* families of github.com/VictoriaMetrics/metrics. Every counter is there from the start with
// value 0, labels included, so that a rate can be taken from the first event on.
package telemetry
