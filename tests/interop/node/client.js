// Client on npm's gearman; see ../README.md.
'use strict'
const fs = require('fs')
const gearman = require('gearman')

const [host, port, operation, func, input, output, extra] = process.argv.slice(2)
const payload = fs.readFileSync(input)
const say = (line) => fs.writeSync(1, line + '\n')
const client = gearman(host, Number(port), { timeout: 60000 })
const priorities = { normal: 'normal', high: 'high', low: 'low', bg: 'normal', high_bg: 'high', low_bg: 'low' }
if (!(operation in priorities) && operation !== 'many' && operation !== 'unique') {
  process.exit(3)
}
const background = operation.endsWith('bg')
const many = operation === 'many'
let left = many ? 200 : operation === 'unique' ? 2 : 1
let right = 0
const expected = new Set()

function over () {
  left -= 1
  if (left === 0) {
    if (many) say(`MANY ${right}`)
    client.close()
    process.exit(0)
  }
}

client.on('error', (error) => { console.error(error); process.exit(1) })
client.on('timeout', () => { console.error('timeout'); process.exit(1) })
client.on('JOB_CREATED', () => {
  if (!many) say('CREATED')
  if (background) over()
})
client.on('WORK_STATUS', (job) => say(`STATUS ${job.percent_num}/${job.percent_den}`))
client.on('WORK_DATA', (job) => say('DATA ' + job.payload.toString()))
client.on('WORK_WARNING', (job) => say('WARNING ' + job.warning))
client.on('WORK_FAIL', () => { say('FAIL'); over() })
client.on('WORK_EXCEPTION', (job) => { say('EXCEPTION ' + job.exception); over() })
client.on('WORK_COMPLETE', (job) => {
  if (many) {
    right += expected.delete(job.payload.toString()) ? 1 : 0
  } else {
    fs.writeFileSync(output, job.payload)
    say('COMPLETE')
  }
  over()
})
client.connect(() => {
  client.setOption('exceptions')
  if (many) {
    for (let i = 0; i < 200; i++) {
      const bytes = `${payload} ${i}`
      expected.add(bytes.split('').reverse().join(''))
      client.submitJob(func, bytes, { background: false, priority: 'normal' })
    }
  } else if (operation === 'unique') {
    for (let i = 0; i < 2; i++) client.submitJob(func, payload, { background, unique_id: extra })
  } else {
    client.submitJob(func, payload, { background, priority: priorities[operation] })
  }
})
