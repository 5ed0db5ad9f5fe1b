"""The roots of the key chain: implementations of kernel.ports.KeyService."""
