"""The compared servers, each written as its documentation recommends."""
