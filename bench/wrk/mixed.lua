-- A mix of proxied and static requests over the same connections, in fixed order so that runs compare.
--
--   PATHS="/ /files/1k.txt / /files/100k.txt" wrk -t2 -c64 -d10s -s bench/wrk/mixed.lua http://127.0.0.1:8080
--
-- A path that stands twice comes twice as often.

local prepared = {}
local turn = 0

function init(args)
  for path in (os.getenv("PATHS") or "/"):gmatch("%S+") do
    prepared[#prepared + 1] = wrk.format("GET", path)
  end
end

function request()
  turn = turn % #prepared + 1
  return prepared[turn]
end

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")
