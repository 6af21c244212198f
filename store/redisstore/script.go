package redisstore

import "context"

// The scripts return 1 on success, and 0 if the current value is not the expected one.
const (
	// save replaces revision ARGV[1] by revision ARGV[2] with value ARGV[3], for
	// ARGV[4] ms. The client may send it again if the answer was lost.
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
redis.pcall('PUBLISH', KEYS[1], '') -- without a notice, watchers poll
return 1`

	// quarantine renames an entry, if it is still ARGV[1] or not a string, for ARGV[2] ms.
	quarantine = `
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' or kind == 'string' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1`

	// take grants a lease to the holder ARGV[1] for ARGV[2] ms. It is a script so
	// that it fails where the scripts that release it would fail.
	take = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`

	// extend makes a lease expire ARGV[2] ms from now.
	extend = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`

	// release releases a lease, and notifies the watchers of the entry KEYS[2].
	release = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', KEYS[2], '')
return 1`
)

// eval runs a script. It sends the text each time: using its SHA-1 would save a few
// hundred bytes, but GODEBUG=fips140=only forbids it.
func (s *Store) eval(ctx context.Context, script string, keys []string, args ...any) (bool, error) {
	done, err := s.cfg.Client.Eval(ctx, script, keys, args...).Bool()
	return done, failure(ctx, err)
}
