"""Pictures and streams: the model server beside others and beside the engine alone."""
