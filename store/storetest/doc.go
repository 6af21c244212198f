// Package storetest proves that a [lineoauth.Store] keeps its promises. It is for
// whoever keeps tokens in a database or a secret manager. The test of such a
// store may look like this:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) func() lineoauth.Store {
//			table := newTable(t)
//			return func() lineoauth.Store { return &sqlstore.Store{DB: db, Table: table} }
//		})
//	}
//
// A store that passes gives back what was saved, whole and under its key; lets one
// of two processes save over a revision; gives its lease to one process at a time,
// and to the next when it ends; heeds contexts; tells of changes, if it is a
// [lineoauth.StoreWatcher]; and lets many sources have one token together, issued
// against the emulator of package lineoauthtest.
//
// It does not prove what becomes of the lease of a process that is killed, which
// should end within seconds, not with its ttl; what a store does while its storage
// fails; what its errors show; or who else can read it.
//
// [Memory] is the simplest store that passes.
package storetest
