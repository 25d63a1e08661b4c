// Worker on npm's gearman; see ../README.md.
'use strict'
const fs = require('fs')
const gearman = require('gearman')

const [host, port] = process.argv.slice(2)
const worker = gearman(host, Number(port))
const functions = {
  reverse: (job) => Buffer.from(job.payload).reverse(),
  echo: (job) => job.payload,
  empty: () => '',
  status: (job) => {
    for (const part of [1, 2, 3]) worker.sendWorkStatus(job.handle, String(part), '3')
    return 'done'
  },
  data: (job) => {
    worker.sendWorkData(job.handle, 'part1')
    worker.sendWorkData(job.handle, 'part2')
    return 'done'
  },
  warn: (job) => {
    worker.sendWorkWarning(job.handle, 'careful')
    return 'done'
  },
  fail: (job) => { worker.sendWorkFail(job.handle) },
  exception: (job) => { worker.sendWorkException(job.handle, 'boom') },
  hang: (job) => {
    const path = job.payload.toString()
    if (fs.existsSync(path)) return 'second'
    fs.writeFileSync(path, '')
    setTimeout(() => worker.sendWorkComplete(job.handle, 'too late'), 60000)
  },
  log: (job) => {
    const [path, line] = job.payload.toString().split('\n')
    fs.appendFileSync(path, line + '\n')
    return 'done'
  }
}

worker.on('error', (error) => { console.error(error); process.exit(1) })
worker.on('JOB_ASSIGN', (job) => {
  const result = functions[job.func_name](job)
  if (result !== undefined) worker.sendWorkComplete(job.handle, result)
  worker.grabJob()
})
worker.on('NO_JOB', () => worker.preSleep())
worker.on('NOOP', () => worker.grabJob())
worker.connect(() => {
  for (const name of Object.keys(functions)) worker.addFunction(name)
  worker.preSleep()
})
