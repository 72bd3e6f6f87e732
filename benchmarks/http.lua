-- The requests of benchmarks/http.py, which runs wrk with this script and one of:
--   -- post RUN LOGS ACTIONS [KEY]    POSTs of new logs, so many in each and so many actions in each of those;
--                                     RUN makes their sessions differ from another run's
--   -- get USER...                    GETs of these users in turn
--   -- page PATH [COOKIE]             GETs of one path
-- At the end it prints its figures as a line of JSON: times in microseconds.

local templates = {
  '{"time":"MINUTE%02d-06:00","type":"CLICK","properties":{"locationX":%d,"locationY":11}}',
  '{"time":"MINUTE%02d-06:00","type":"VIEW","properties":{"viewedId":"FDJKLHSLD%d"}}',
  '{"time":"MINUTE%02d-06:00","type":"NAVIGATE","properties":{"pageFrom":"communities","pageTo":"inventory%d"}}',
}
local count = 0

local function get(users)
  local requests = {}
  for number, user in ipairs(users) do
    requests[number] = wrk.format("GET", "/logs/?userId=" .. user)
  end
  return function()
    count = count + 1
    return requests[(count - 1) % #requests + 1]
  end
end

local function post(run, logs, actions, key)
  local headers = { ["Content-Type"] = "application/json" }
  if key then
    headers["Authorization"] = "Bearer " .. key
  end
  local texts = {}
  for number = 0, actions - 1 do
    texts[number + 1] = string.format(templates[number % 3 + 1], number % 60, number)
  end
  local template = '","actions":[' .. table.concat(texts, ",") .. "]}"
  return function()
    -- Time goes on, a minute a request, and comes back to its start after 28 days.
    local minute = math.floor(count / logs)
    local day, hour = math.floor(minute / 1440) % 28 + 1, math.floor(minute / 60) % 24
    local rest = template:gsub("MINUTE", string.format("2026-01-%02dT%02d:%02d:", day, hour, minute % 60))
    local parts = {}
    for number = 1, logs do
      count = count + 1
      parts[number] = '{"userId":"user-' .. count % 10000 .. '","sessionId":"' .. run .. "-" .. count .. rest
    end
    return wrk.format("POST", "/logs/", headers, "[" .. table.concat(parts, ",") .. "]")
  end
end

local function page(path, cookie)
  local text = wrk.format("GET", path, cookie and { ["Cookie"] = cookie })
  return function()
    return text
  end
end

function init(args)
  if args[1] == "get" then
    request = get({ select(2, unpack(args)) })
  elseif args[1] == "page" then
    request = page(args[2], args[3])
  else
    request = post(args[2], tonumber(args[3]), tonumber(args[4]), args[5])
  end
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"duration":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
