"""Faults, each played for real: a ``serve`` process of its own, real sockets, and a look at the books after each.

After each: every attempt that reached the upstream has exactly one usage record, the gateway is ready and answers, its
memory is where it was, and no credential or key is in anything it said (``Ground.check``); once it has ended, its journal
is empty and, for upstreams, the daily sums equal the records. What is tested elsewhere is named here, too.

| fault | test |
| --- | --- |
| upstream refuses, resets before and in the middle, stalls, drips, sends garbage, never ends; 5xx and 429 storms | test_upstream |
| TLS: expired, another host's, self-signed, none at all | test_upstream |
| SIGTERM in the middle of 100 streams: new requests refused, running ones finished or told | test_ends |
| kill -9 in the middle of 100 streams | test_ends; with figures settled just before: llmgateway/test_processes |
| clients that vanish, read slowly, send slowly, send half | test_clients |
| disk full (for real, and by a limit), with and without a segment of the journal; SQLite locked | test_disk |
| one of two workers killed in the middle of 100 streams | test_workers |
| PostgreSQL stopped and started for real, in order and as in a crash | test_restarts |
| PostgreSQL gone and back, its connections ended, away at the end of 100 streams and at a kill; Redis gone and back | test_services |
| Redis that comes back empty: budgets, limits, a provider's places; a killed gateway's places | many/test_limits |
| PostgreSQL that hangs: requests, readiness, a stop, the figures of two workers | test_hangs |
| clock a day ahead, two days back, with an edit after it | test_clock |
| edits of routes, keys, credentials and prices under load | test_edits; what pictures leave behind: llmgateway/test_edits_under_load |
| a key revoked or rotated in several processes | many/test_keys |
| two gateways on one database: limits and budgets; edits; cooldowns; the live view; journals | many; a provider's requests: llmgateway/test_provider_places |
| the journal of a process that is gone, booked by a living one | llmgateway/test_runtime, accounting/test_ledger |
| what a failed attempt held is let go at once | llmgateway/test_let_go |
"""
