"""The engines. Each runs a `World` under a policy and hands records to a sink; they differ in how, never in what."""
