"""From a change to what is served: which projects it touches, what became of them, what ships."""
