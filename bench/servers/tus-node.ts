/** @tus/server on @tus/file-store. */
import { FileStore } from '@tus/file-store'
import { serveTus } from './serve-tus.ts'

serveTus(new FileStore({ directory: process.argv[2] ?? './files' }))
