// Package storetest tests implementations of [store.Store]. It is for those who
// keep tokens in a database or a secret manager. The test of such a store may
// look like this:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) func() store.Store {
//			table := newTable(t)
//			return func() store.Store { return &sqlstore.Store{DB: db, Table: table} }
//		})
//	}
//
// A store that passes returns what was saved, whole, under its key, for at least
// its lifetime, with a revision of its own and its age; lets one of several
// processes save over a revision; gives its lease to one process at a time, and
// to the next one when it is released or has ended; heeds contexts that have
// ended; and reports changes, if it is a [store.Watcher]. [RunDamaged] tests what
// becomes of damaged values.
//
// Not tested is the lease of a process that is killed, which should end within
// seconds and not with its ttl; a store whose storage fails or hangs; what errors
// of the storage contain; and who else can read it.
//
// [store.Memory] is the simplest store that passes.
package storetest
