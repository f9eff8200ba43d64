export { toNodeListener } from './listener.ts'
export { storageFetch } from './storage-fetch.ts'
