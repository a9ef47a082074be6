-- Sends the bodies of the file that is named on the command line, one per line, in turn.
local prepared, turn = {}, 0

init = function(arguments)
  for line in io.lines(arguments[1]) do
    prepared[#prepared + 1] = wrk.format("POST", nil, {
      ["Host"] = wrk.headers["Host"], ["Content-Type"] = "application/json"
    }, line)
  end
end

request = function()
  turn = turn % #prepared + 1
  return prepared[turn]
end

done = function(summary, latency, _)
  local failed = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "p50": %f, "p99": %f, "p999": %f, "max": %f, ' ..
    '"status": %d, "connection": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), latency.max, failed.status,
    failed.connect + failed.read + failed.write + failed.timeout
  ))
end
