"""HQQ: whole weights quantized while they load, and folders that HQQ saved."""
