"""What this machine has: devices, memory, processor, versions."""
