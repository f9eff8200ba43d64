/** Stores and lockers that misbehave in one way, or tell what was asked of them. */
import { TusError, type Lock, type Locker, type Store, type TusErrorCode } from '../../src/index.ts'

/** The store with some methods replaced; what it remembers of records does not take the place of a `get`. */
export function withMethods(store: Store, methods: Partial<Store>): Store {
  const copy = { ...store }
  if (methods.get !== undefined) delete copy.recall
  return { ...copy, ...methods }
}

/** The store as if it had been written without an optional method. */
export function without(store: Store, ...names: readonly ('read' | 'concatenate' | 'finalsOf')[]): Store {
  const copy = { ...store }
  for (const name of names) delete copy[name]
  return copy
}

/** The store, and the names of its methods as they are called. */
export function spied(store: Store): { store: Store; calls: string[] } {
  const calls: string[] = []
  return {
    calls,
    store: {
      ...store,
      create: (upload) => (calls.push('create'), store.create(upload)),
      get: (id) => (calls.push('get'), store.get(id)),
      append: (upload, body, options) => (calls.push('append'), store.append(upload, body, options)),
      update: (upload, change) => (calls.push('update'), store.update(upload, change)),
      terminate: (upload) => (calls.push('terminate'), store.terminate(upload)),
    },
  }
}

/** Something that a case opens when it likes. */
export function gate(): { opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

/** A locker that gives every lock at once, made of `lock`. */
export function lockerOf(lock: Lock): Locker {
  return { acquire: async () => lock, tryAcquire: async () => lock }
}

/** What a hook throws that refuses. */
export function refuse(code: TusErrorCode, status?: number): never {
  throw new TusError(code, 'Not you', status === undefined ? {} : { status })
}
