//! What HAProxy has and this version has not, spelled as keys, in words; core.
//!
//! They are refused by name, never as a misspelling.

/// Sections.
pub const SECTIONS: &str = "
    acme cache crt_list crt_store fcgi_app log_forward log_profile mailers peers program resolvers
    ring stats table traces
";

/// In `[global]`.
pub const GLOBAL: &str = "
    acme_scheduler anonkey busy_polling ca_base cluster_secret cpu_affinity
    cpu_map cpu_policy cpu_set crt_base daemon debug_counters default_path deviceatlas_json_file
    deviceatlas_log_level deviceatlas_properties_cookie deviceatlas_separator dns_accept_family
    expose_deprecated_directives expose_experimental_directives fd_hard_limit
    force_cfg_parser_pause h1_accept_payload_with_any_method h1_case_adjust h1_case_adjust_file
    h1_do_not_close_on_insecure_transfer_encoding h2_workaround_bogus_websocket_clients
    harden_reject_privileged_ports_quic harden_reject_privileged_ports_tcp http_err_codes
    http_fail_codes httpclient_resolvers_disabled httpclient_resolvers_id
    httpclient_resolvers_prefer httpclient_retries httpclient_ssl_ca_file httpclient_ssl_verify
    httpclient_timeout_connect insecure_fork_wanted insecure_setuid_wanted issuers_chain_path
    jwt_decrypt_alg_list jwt_decrypt_enc_list key_base limited_quic localpeer lua_load
    lua_load_per_thread lua_prepend_path master_worker max_spread_checks max_threads_per_group
    maxcompcpuusage maxcomprate maxsslconn maxsslrate maxzlibmem
    memory_trimming nbproc nbthread noevports nogetaddrinfo nokqueue noktls
    noreuseport numa_cpu_mapping ocsp_update_disable ocsp_update_httpproxy ocsp_update_maxdelay
    ocsp_update_mindelay ocsp_update_mode pp2_never_send_local prealloc_fd presetenv
    profiling_memory profiling_tasks quick_exit quiet resetenv server_state_base
    server_state_file set_var set_var_fmt setcap setenv shm_stats_file
    shm_stats_file_max_objects ssl_default_bind_ciphers
    ssl_default_bind_ciphersuites ssl_default_bind_client_sigalgs ssl_default_bind_curves
    ssl_default_bind_options ssl_default_bind_sigalgs ssl_default_server_ciphers
    ssl_default_server_ciphersuites ssl_default_server_client_sigalgs ssl_default_server_curves
    ssl_default_server_options ssl_default_server_sigalgs ssl_dh_param_file ssl_engine
    ssl_load_extra_del_ext ssl_load_extra_files ssl_mode_async ssl_passphrase_cmd ssl_propquery
    ssl_provider ssl_provider_path ssl_security_level ssl_server_verify ssl_skip_self_issued_ca
    stats stats_file stress_level strict_limits thread_group thread_groups thread_hard_limit tls
    unix_bind unsetenv warn_blocked_traffic_after wurfl_cache_size wurfl_data_file
    wurfl_information_list wurfl_information_list_separator wurfl_patch_file zero_warning
";

/// In `tune`.
pub const TUNE: &str = "
    applet_zero_copy_forwarding buffers_reserve bufsize_large bufsize_small cli_max_payload_size
    comp_maxlevel defaults_purge disable_fast_forward disable_zero_copy_forwarding
    epoll_mask_events events_max_events_at_once fail_alloc fd_edge_triggered
    glitches_kill_cpu_usage h1_be_glitches_threshold h1_fe_glitches_threshold
    h1_zero_copy_fwd_recv h1_zero_copy_fwd_send h2_be_glitches_threshold h2_be_initial_window_size
    h2_be_max_concurrent_streams h2_be_max_frames_at_once h2_be_rxbuf h2_fe_glitches_threshold
    h2_fe_initial_window_size h2_fe_max_concurrent_streams h2_fe_max_frames_at_once
    h2_fe_max_rst_at_once h2_fe_max_total_streams h2_fe_rxbuf h2_header_table_size
    h2_initial_window_size h2_log_errors h2_max_concurrent_streams h2_max_frame_size
    h2_zero_copy_fwd_send idle_pool_shared idletimer listener_default_shards listener_multi_queue
    lua_bool_sample_conversion lua_burst_timeout lua_forced_yield lua_log_loggers lua_log_stderr
    lua_maxmem lua_openlibs lua_service_timeout lua_session_timeout lua_task_timeout
    max_checks_per_thread max_rules_at_once memory_hot_size notsent_lowat_client
    notsent_lowat_server pattern_cache_size peers_max_updates_at_once pipesize pool_high_fd_ratio
    pool_low_fd_ratio pt_zero_copy_forwarding quic_be_cc_cubic_min_losses quic_be_cc_hystart
    quic_be_cc_max_frame_loss quic_be_cc_max_win_size quic_be_cc_reorder_ratio
    quic_be_max_idle_timeout quic_be_sec_glitches_threshold quic_be_stream_data_ratio
    quic_be_stream_max_concurrent quic_be_stream_rxbuf quic_be_tx_pacing quic_be_tx_udp_gso
    quic_cc_cubic_min_losses quic_cc_hystart quic_disable_tx_pacing quic_disable_udp_gso
    quic_fe_cc_cubic_min_losses quic_fe_cc_hystart quic_fe_cc_max_frame_loss
    quic_fe_cc_max_win_size quic_fe_cc_reorder_ratio quic_fe_max_idle_timeout
    quic_fe_sec_glitches_threshold quic_fe_sec_retry_threshold quic_fe_sock_per_conn
    quic_fe_stream_data_ratio quic_fe_stream_max_concurrent quic_fe_stream_max_total
    quic_fe_stream_rxbuf quic_fe_tx_pacing quic_fe_tx_udp_gso
    quic_frontend_default_max_window_size quic_frontend_glitches_threshold
    quic_frontend_max_data_size quic_frontend_max_idle_timeout quic_frontend_max_streams_bidi
    quic_frontend_max_tx_mem quic_frontend_stream_data_ratio quic_listen quic_max_frame_loss
    quic_mem_tx_max quic_reorder_ratio quic_retry_threshold quic_socket_owner
    quic_zero_copy_fwd_send rcvbuf_backend rcvbuf_frontend recv_enough renice_runtime
    renice_startup ring_queues sched_low_latency sndbuf_backend sndbuf_frontend ssl_cachesize
    ssl_capture_buffer_size ssl_capture_cipherlist_size ssl_certificate_compression
    ssl_default_dh_param ssl_force_private_cache ssl_hard_maxrecord ssl_keylog ssl_lifetime
    ssl_maxrecord ssl_ocsp_update_maxdelay ssl_ocsp_update_mindelay ssl_ssl_ctx_cache_size
    stick_counters streams_elasticity takeover_other_tg_connections vars_global_max_size
    vars_proc_max_size vars_reqres_max_size vars_sess_max_size vars_txn_max_size zlib_memlevel
    zlib_windowsize
";

/// In frontends, backends and their defaults.
pub const PROXY: &str = "
    acl check_cache checkcache clitimeout compression contimeout contstats
    default_server description disable_h2_upgrade disabled dispatch email_alert enabled
    errorloc filter filter_sequence force_be_switch guid h1_case_adjust_bogus_client h1_case_adjust_bogus_server http_after_response http_drop_request_trailers
    http_drop_response_trailers http_error http_request http_response http_send_name_header
    httpslog id independent_streams
    load_server_state_from_file log_format_sd log_steps
    max_session_srv_conns monitor persist quic_initial
    server_state_file_name server_template socket_stats spop_check
    srvexp srvtimeout stats stats_socket stick stick_table tcp_request
    tcp_request_content tcp_response tcp_smart_accept tcp_smart_connect transparent
    use_backend use_fcgi_app use_server use_small_buffers http_no_delay
";

/// In `timeout`.
pub const TIMEOUT: &str = "
    client_hs
";

/// In `bind`.
pub const BIND: &str = "
    accept_netscaler_cip allow_0rtt alpn ca_file ca_ignore_err ca_names ca_sign_file
    ca_sign_pass ca_verify_file cc ciphers ciphersuites client_sigalgs crl_file crt
    crt_ignore_err crt_list curves default_crt ecdhe ech expose_fd force_sslv3 force_tlsv10
    force_tlsv11 force_tlsv12 force_tlsv13 generate_certificates guid_prefix id idle_ping ktls
    label level namespace nbconn npn prefer_client_ciphers proto quic_cc_algo quic_force_retry
    quic_socket severity_output shards sigalgs ssl ssl_max_ver ssl_min_ver sslv3 strict_sni
    tcp_md5sig tcp_ss thread tls tls_ticket_keys tls_tickets tlsv10 tlsv11 tlsv12 tlsv13 verify
";

/// In `server` and `server_defaults`.
pub const SERVER: &str = "
    allow_0rtt alpn ca_file
    cc check_alpn check_inter check_pool_conn_name check_proto check_reuse_pool
    check_sni check_sni_auto check_ssl check_via_socks4 ciphers ciphersuites
    client_sigalgs crl_file crt curves
    force_sslv3 force_tlsv10 force_tlsv11 force_tlsv12 force_tlsv13 guid idle_ping
    ktls log_bufsize log_proto namespace non_stick npn pool_conn_name proto
    proxy_v2_options quic_cc_algo redir renegotiate resolve_net resolve_opts resolve_prefer
    resolvers send_proxy_v2_ssl send_proxy_v2_ssl_cn set_proxy_v2_tlv_fmt shard sigalgs
    sni sni_auto socks4 ssl ssl_max_ver ssl_min_ver ssl_reuse sslv3 stick strict_maxconn
    tcp_md5sig tls tls_tickets tlsv10 tlsv11 tlsv12 tlsv13 verify verifyhost ws
";

/// In `return`.
pub const RETURN: &str = "
    default_errorfiles errorfile errorfiles if lf_file lf_string unless
";
