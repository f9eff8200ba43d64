export { toNodeListener } from './listener.ts'
export { storageFetch } from './storage-fetch.ts'
export type { Incoming, Outgoing } from './platform.ts'
