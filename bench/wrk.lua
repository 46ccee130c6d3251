-- Asks for FOLDER/0 .. FOLDER/FILES-1 in turn; prints the result as one JSON line.
--   wrk ... -s wrk.lua URL -- FOLDER FILES HTTP-VERSION
-- HTTP/1.0 is one request per connection, for servers without keep-alive.

local requests, at = {}, 0

function init(args)
  local folder, files, version = args[1], tonumber(args[2]), args[3]
  for i = 0, files - 1 do
    requests[i + 1] = string.format("GET %s/%d HTTP/%s\r\nHost: bench\r\n\r\n", folder, i, version)
  end
  at = math.random(files)
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.3f, "bytes": %d, "p50_us": %d, "p99_us": %d, '
      .. '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
