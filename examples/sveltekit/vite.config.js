import adapter from '@sveltejs/adapter-node'
import { sveltekit } from '@sveltejs/kit/vite'

export default {
  plugins: [
    sveltekit({
      adapter: adapter(),
      // A POST that creates an upload has no Content-Type, which SvelteKit takes for a form's from anywhere but its own pages.
      csrf: { trustedOrigins: ['*'] },
    }),
  ],
}
