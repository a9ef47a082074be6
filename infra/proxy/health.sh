#!/bin/bash
# Check that the proxy responds; Debian's slim image has neither curl nor wget.
exec 3<>/dev/tcp/127.0.0.1/8000
printf 'GET /proxy/live HTTP/1.0\r\n\r\n' >&3
read -r -t 4 response <&3
[[ $response == *" 200 "* ]]
