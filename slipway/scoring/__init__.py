"""Files larger than memory, scored part by part: from the command line and as jobs."""
