"""The delivery workflow: projects affected by a change, their results, and the images to ship."""
