//! Stand-ins for the providers on the loopback.
