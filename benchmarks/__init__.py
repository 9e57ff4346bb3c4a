"""CPU per request and per streamed event of the gateway, beside a bare pass-through, in one run."""
