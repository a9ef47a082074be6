"""OpenCV, the decoders of video, and the reader of barcodes."""

# As in pyproject.toml: distribution and module.
PACKAGES = {"opencv-python-headless": "cv2", "av": "av", "zxing-cpp": "zxingcpp"}
