package redisstore

import "context"

// The scripts return 1 when they did what they are for, and 0 when something else
// is there.
const (
	// save replaces revision ARGV[1] by revision ARGV[2], which is ARGV[3], for
	// ARGV[4] ms. The client may send it again when the answer was lost.
	save = `
local old = redis.pcall('GET', KEYS[1])
if type(old) == 'table' then
	if string.find(old.err, '^WRONGTYPE') then return 0 end
	return old
end
if old then
	local ok, envelope = pcall(cjson.decode, old)
	local revision = ok and type(envelope) == 'table' and envelope.revision
	if revision == ARGV[2] then return 1 end
	if revision ~= ARGV[1] or revision == '' then return 0 end
elseif ARGV[1] ~= '' then
	return 0
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
redis.pcall('PUBLISH', KEYS[1], '') -- who is not told looks
return 1`

	// putAside renames an entry, if it is still ARGV[1] or no string, for ARGV[2]
	// ms.
	putAside = `
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' or kind == 'string' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1`

	// take gives a lease to the holder ARGV[1] for ARGV[2] ms. It is a script so
	// that it fails where the others, which give it back, would.
	take = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`

	// extend lets a lease end ARGV[2] ms from now.
	extend = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`

	// release ends a lease, and tells those who watch the entry KEYS[2].
	release = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', KEYS[2], '')
return 1`
)

// eval runs a script. It sends the text each time: to name a script by its SHA-1
// is what GODEBUG=fips140=only forbids, and saves a few hundred bytes.
func (s *Store) eval(ctx context.Context, script string, keys []string, args ...any) (bool, error) {
	done, err := s.cfg.Client.Eval(ctx, script, keys, args...).Bool()
	return done, failure(ctx, err)
}
