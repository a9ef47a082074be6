"""The compared servers of pictures, each written as its documentation recommends."""
