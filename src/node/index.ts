export { toNodeListener } from './listener.ts'
