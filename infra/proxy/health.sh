#!/bin/bash
# Whether the proxy answers here; Debian's slim image has neither curl nor wget.
exec 3<>/dev/tcp/127.0.0.1/8000
printf 'GET /proxy/live HTTP/1.0\r\n\r\n' >&3
read -r -t 4 answer <&3
[[ $answer == *" 200 "* ]]
