-- Another body with each request, from the file that is the argument; in the end the figures as one line of JSON.
local requests, count, last = {}, 0, 0

function init(args)
  local headers = { ["Content-Type"] = "application/json" }
  for body in io.lines(args[1]) do
    count = count + 1
    requests[count] = wrk.format("POST", nil, headers, body)
  end
end

function request()
  last = last % count + 1
  return requests[last]
end

function done(summary, latency, _)
  local failed = summary.errors
  local errors = failed.connect + failed.read + failed.write + failed.status + failed.timeout
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "errors": %d, "p50": %.4f, "p99": %.4f}\n',
    summary.requests, summary.duration / 1e6, errors, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
