# ruff: noqa: E501 -- the lists read best as they are, one thought a line
"""Domain-specific sentence patterns and what may fill them; `{a}`, `{b}`, `{c}` are the slots."""

from topics import words

# domain -> patterns, each with its own fillers: (patterns, a, b, c)
PATTERNS = {
    "computer science": [
        (
            words(
                "how do i {a} in {b}|write a {b} function to {a}|{b}: {a}|{a} using {b}|best way to {a} in {b}?|Give me a {b} script that can {a}|can you show me how to {a} with {b}|"
                "my {b} code to {a} doesn't work|need {b} code, {a}|fastest way to {a} in {b} without libraries"
            ),
            words(
                "read a file line by line|sort a list of objects|parse json|reverse a string|connect to a database|remove duplicates from an array|send an http request|merge two dictionaries|"
                "find the longest substring|count words in a text|validate an email|generate random numbers|upload a file to s3|write unit tests|handle exceptions|parse dates|"
                "convert a string to an int|loop over a map|run tasks in parallel|download an image|call an api with a token|compress a folder|check if a string is a palindrome|split a string by comma"
            ),
            words(
                "python|javascript|typescript|java|c++|c#|go|rust|php|ruby|bash|kotlin|swift|r|powershell|sql"
            ),
            (),
        ),
        (
            words(
                "{a}|getting {a} what does it mean|why do i get {a}|{a} how to fix|I keep seeing this error: {a}|{a}\nHow can I solve this?|help {a} after upgrading|{a} when running in {b}|error in {b}: {a}"
            ),
            words(
                "IndexError: list index out of range|KeyError: 'name'|NameError: name 'x' is not defined|AttributeError: 'NoneType' object has no attribute 'get'|"
                "ImportError: cannot import name 'app' from partially initialized module|IndentationError: unexpected indent|RecursionError: maximum recursion depth exceeded|UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff|"
                "java.lang.OutOfMemoryError: Java heap space|ClassNotFoundException: com.example.App|java.util.ConcurrentModificationException|cannot find symbol class Scanner|undefined reference to `main'|"
                "Segmentation fault (core dumped)|error: expected ';' before '}' token|ReferenceError: foo is not defined|TypeError: x is not a function|CORS policy: No 'Access-Control-Allow-Origin' header|"
                "ECONNREFUSED 127.0.0.1:5432|ETIMEDOUT|HTTP 500 internal server error|HTTP 403 forbidden|SSL certificate problem: unable to get local issuer certificate|permission denied while trying to connect to the Docker daemon socket|"
                "ImagePullBackOff|OOMKilled|no space left on device|bash: command not found|E: Unable to locate package|fatal: refusing to merge unrelated histories|CONFLICT (content): Merge conflict in index.js|"
                "error[E0382]: use of moved value|cannot use x (type int) as type string|syntax error near unexpected token|Duplicate entry '1' for key 'PRIMARY'|relation \"users\" does not exist|deadlock detected|CUDA out of memory|"
                "RuntimeError: shape mismatch in tensor|blue screen of death 0x0000007E"
            ),
            words(
                "docker|production|my ci pipeline|vs code|windows|ubuntu|a jupyter notebook|my laptop|the server"
            ),
            (),
        ),
        (
            words(
                "{a} or {b}?|should I use {a} or {b} for my project|{a} vs {b}|migrate from {a} to {b}|how to install {a} on {c}|{a} tutorial|is {a} better than {b}|uninstall {a} from {c}|{a} keeps crashing on {c}"
            ),
            words(
                "mysql|postgres|sqlite|mongodb|redis|kafka|rabbitmq|django|flask|fastapi|react|angular|vue|svelte|next.js|spring boot|docker|podman|jenkins|terraform|pytorch|tensorflow|vim|emacs"
            ),
            words(
                "mariadb|elasticsearch|cassandra|express|laravel|rails|gitlab ci|kubernetes|nomad|webpack|vite|jax|spark|airflow|grpc|graphql"
            ),
            words("ubuntu|debian|windows 11|mac os|arch linux|a raspberry pi|wsl|fedora|centos"),
        ),
        (
            words(
                "{a}\nwhat does this code do?|{a}|Explain this:\n{a}|is there a bug here? {a}|optimise this: {a}|add comments to {a}|translate this code to {b}:\n{a}|{a} why does this not compile"
            ),
            words(
                "def add(a, b):\n    return a + b|for i in range(10): print(i)|while True:\n    pass|x = [i**2 for i in range(5)]|const f = (x) => x * 2;|let a = arr.filter(x => x > 3).map(x => x + 1);|"
                "if (user == null) { return; }|function hello() { console.log('hi'); }|int main() { return 0; }|std::vector<int> v = {1, 2, 3};|public class Dog extends Animal { }|SELECT id, name FROM users WHERE age > 30;|"
                "UPDATE orders SET status = 'paid' WHERE id = 5;|DELETE FROM logs;|git reset --hard HEAD~1|docker run -p 8080:80 nginx|curl -X POST http://localhost:3000/api|import numpy as np|from flask import Flask|"
                'fn main() { println!("hi"); }|package main\nimport "fmt"|echo $PATH|ls -la <pipe> grep txt|<h1>Title</h1>|body { color: red; }|try { run(); } catch (e) { }|class Node:\n    def __init__(self, value):\n        self.value = value|'
                "apiVersion: v1\nkind: Pod|FROM python:3.11-slim|useEffect(() => { fetchData(); }, []);|df.groupby('a').sum()|model.fit(X_train, y_train)"
            ),
            words("python|rust|go|java|typescript|c"),
            (),
        ),
    ],
    "health": [
        (
            words(
                "i have {a} for {b}|I've had {a} for {b}, should I see a doctor?|what causes {a}|what helps against {a}|{a} since {b}, is it serious|my {c} has {a}|my {c} has had {a} for {b} what should i do|"
                "how to get rid of {a}|home remedies for {a}|is {a} dangerous?|{a} at night|{a} and fever|medicine for {a}|why do i get {a} after exercise"
            ),
            words(
                "a headache|a cough|chest pain|stomach pain|nausea|dizziness|a skin rash|itchy eyes|a sore throat|swollen feet|ear pain|a stiff neck|numb fingers|cramps|heartburn|bloating|a runny nose|"
                "a toothache|bleeding gums|red spots|night sweats|blurry vision|joint pain|shortness of breath|a fever|vomiting|dry skin|bad breath|bruises|a lump under the skin|tingling hands|hiccups"
            ),
            words("two days|a week|three weeks|months|a few hours|10 days|since monday|years"),
            words("baby|son|daughter|wife|husband|mother|dad|grandfather|2 year old|friend"),
        ),
        (
            words(
                "can i take {a} with {b}|side effects of {a}|dosage of {a} for an adult|is {a} safe during pregnancy|how long does {a} take to work|what is {a} used for|{a} and alcohol|missed a dose of {a}|alternatives to {a}"
            ),
            words(
                "ibuprofen|amoxicillin|metformin|lisinopril|omeprazole|prednisone|levothyroxine|sertraline pills|cetirizine|insulin|warfarin|codeine|tamoxifen|melatonin|azithromycin|ozempic"
            ),
            words(
                "paracetamol|aspirin|antibiotics|grapefruit|vitamin c|coffee|antacids|blood pressure pills|cold medicine"
            ),
            (),
        ),
    ],
    "law": [
        (
            words(
                "can i sue {a} for {b}|{a} is {b}, what are my rights|is it legal if {a} is {b}|what legal action can I take against {a} for {b}?|do i need a lawyer when {a} is {b}|how do i file a complaint in court against {a} for {b}|{a} {b} legal advice"
            ),
            words(
                "my landlord|my tenant|my employer|my neighbor|my ex-wife|my ex-husband|a contractor|the police|my school|a hospital|a company|my roommate|an airline|a car dealer|my business partner|a website"
            ),
            words(
                "keeping my deposit|not paying me|breaking the contract|entering my home|firing me|damaging my car|selling a defective product|discriminating against me|using my photos|spreading lies about me|refusing a refund|ignoring the custody agreement|cutting my hours without notice|stealing my idea|recording me without consent|violating the lease"
            ),
            (),
        ),
        (
            words(
                "draft a {a}|write a {a} between {b} and {c}|template for a {a}|is a {a} legally binding|review my {a}|what should a {a} contain|can I cancel a {a}|loophole in a {a}|does a {a} need to be notarized"
            ),
            words(
                "rental agreement|non-disclosure agreement|employment contract|last will|power of attorney|settlement agreement|partnership agreement|privacy policy|cease and desist letter|loan agreement|divorce petition|custody agreement|terms of service|purchase contract|complaint to the court"
            ),
            words("a landlord|an employer|a seller|a freelancer|two companies|a lender"),
            words("a tenant|an employee|a buyer|a client|a contractor|a borrower"),
        ),
    ],
    "psychology": [
        (
            words(
                "i feel {a} {b}|I feel so {a} {b} and I don't know why|why do i feel {a} {b}|how do I stop feeling {a}|is it normal to feel {a} {b}?|my {c} makes me feel {a}|my {c} feels {a} {b}, how can i help|feeling {a} again|i am always {a} {b}"
            ),
            words(
                "sad|anxious|lonely|worthless|empty|guilty|ashamed|angry|overwhelmed|numb|insecure|jealous|hopeless|unmotivated|rejected|scared|stressed|nervous|like a failure|unloved|restless"
            ),
            words(
                "all the time|at work|after the breakup|around people|when i wake up|at night|since my dad died|when i'm alone|in my marriage|before exams|around my family|for no reason|since i moved"
            ),
            words(
                "girlfriend|boyfriend|wife|husband|mother|father|best friend|sister|brother|teenage son|daughter|boss|roommate"
            ),
        ),
        (
            words(
                "my {a} {b} and i don't know how to react|why would my {a} {b}|my {a} {b}. What should I do?|how do i tell my {a} that it hurts when they {b}|is it abuse if my {a} {b}|should i forgive my {a}, they always {b}"
            ),
            words(
                "partner|mom|dad|best friend|husband|wife|boyfriend|girlfriend|sister|ex|stepson|mother in law"
            ),
            words(
                "never listen to me|lie to me|ignore me for days|criticise everything i do|yell at me|compare me with others|shut down when we argue|want space|cheated on me|drink too much|refuse to talk about feelings|keep secrets from me|put me down in front of others"
            ),
            (),
        ),
    ],
    "business": [
        (
            words(
                "how do i start {a}|write a business plan for {a}|marketing ideas for {a}|name ideas for {a}|slogan for {a}|how much does it cost to open {a}|target audience of {a}|how can {a} get more customers?|write an ad for {a}|social media posts for {a}|pricing for {a}|swot analysis for {a}|pitch deck for {a}|profit margin of {a}"
            ),
            words(
                "a bakery|a gym|a clothing brand|a cleaning service|a coffee shop|an online store|a landscaping company|a mobile app startup|a barber shop|a pet store|a consulting firm|a saas product|a food truck|a travel agency|a bookstore|a daycare|a car wash|a jewelry shop|an ad agency|a hotel"
            ),
            (),
            (),
        ),
        (
            words(
                "write an email to {a} about {b}|draft a message to {a} regarding {b}|how do I tell {a} about {b}|reply to {a} who complains about {b}|agenda for a meeting with {a} on {b}|presentation for {a} about {b}|talking points for {a}: {b}"
            ),
            words(
                "a client|my boss|our customers|the investors|a supplier|the sales team|a new hire|the board|a potential partner|a recruiter|a vendor|my coworkers"
            ),
            words(
                "a price increase|a delayed shipment|quarterly results|the new product|a missed deadline|a refund|the marketing budget|an overdue invoice|a contract renewal|our hiring plan|a salary raise|the rebranding|a partnership|declining sales"
            ),
            (),
        ),
        (
            words(
                "{a} my {b}?|why was my {b} {c}|my {b} was {c}, what now|how long until my {b} arrives|is there a fee for my {b}|i don't recognise a {b} on my statement|{a} a new {b}"
            ),
            words(
                "how do i activate|where is|how can i cancel|can i change|how do i get|what is the limit on|how do i verify"
            ),
            words(
                "card payment|bank transfer|credit card|debit card|direct debit|top up|refund|account pin|cash withdrawal|savings account|loan application"
            ),
            words("declined|charged twice|cancelled|pending|blocked|rejected|reversed|delayed"),
        ),
    ],
    "other": [
        (
            words(
                "recipe for {a}|how do i make {a}|how long do i cook {a}|easy {a} recipe|what goes well with {a}|{a} without eggs|can i freeze {a}|vegan {a}|how many people does {a} serve|what drink with {a}"
            ),
            words(
                "lasagna|chili|apple pie|fried rice|roast chicken|pizza dough|tomato soup|pad thai|brownies|hummus|a steak|mashed potatoes|tacos|risotto|scrambled eggs|cheesecake|ramen|meatballs|waffles|lemonade|paella"
            ),
            (),
            (),
        ),
        (
            words(
                "things to do in {a}|{b} days in {a}|best restaurants in {a}|cheap hotels in {a}|weather in {a}|how do i get from {a} to {c}|when is the best time to visit {a}|is {a} safe for tourists|flights to {a}|plan a {b} day trip to {a} and {c}|what to see in {a} with kids|what language do they speak in {a}|nightlife in {a}|capital of the country where {a} is"
            ),
            words(
                "rome|barcelona|tokyo|lisbon|berlin|bangkok|new york|cairo|sydney|mexico city|istanbul|prague|amsterdam|vienna|cape town|dubai|toronto|reykjavik|seoul|buenos aires|marrakech"
            ),
            words("2|3|four|5|seven|ten"),
            words("paris|london|munich|osaka|madrid|chicago|athens|oslo|milan|hanoi"),
        ),
        (
            words(
                "write a {b} about {a}|{b} about {a} please|Write me a {b} on {a}, make it funny|a sad {b} about {a}|can you come up with a {b} about {a}?|continue this {b} about {a}|{b} in the style of shakespeare about {a}|short {b}: {a}"
            ),
            words(
                "a dragon|the moon and a cat|my grandmother|a lonely robot|the sea|winter|a lost key|two best friends|a haunted house|coffee|summer holidays|a talking tree|a knight who is afraid of horses|monday mornings|my dog|the city at night|first love|a pirate"
            ),
            words(
                "poem|story|haiku|song|limerick|joke|fairy tale|bedtime story|rap|toast|scene|dialogue"
            ),
            (),
        ),
        (
            words(
                "translate '{a}' to {b}|how do you say {a} in {b}|{a} in {b}|what does '{a}' mean|another word for {a}|use {a} in a sentence|is '{a}' correct english|rewrite '{a}' in a friendlier tone|make this sound better: {a}|how do you spell {a}"
            ),
            words(
                "good morning|where is the bathroom|i miss you|see you soon|thank you very much|beautiful|happy|the check please|i am looking forward to it|congratulations|sorry for being late|cheese|cold|have a nice day|bon appetit|rendezvous|ambiguous"
            ),
            words(
                "spanish|french|german|japanese|italian|korean|chinese|arabic|portuguese|hindi|dutch|russian"
            ),
            (),
        ),
        (
            words("{a} {b}|{a}|{a}, {b}|{a}! {b}|{b}"),
            words(
                "hi|hello|hey there|good morning|good afternoon|yo|hi bot|hey chatgpt|greetings|sup|hallo|hiya|howdy|good night"
            ),
            words(
                "how are you|how's it going|what's new|can you help me|i need your help|are you there|what can you do for me|nice to meet you|how was your day|let's chat|tell me a joke|i'm bored|thanks for yesterday|what's your name|are you an ai|how old are you"
            ),
            (),
        ),
        (
            words(
                "{a} {b}|{a} {b}?|can you tell me {a} {b}|pls tell me {a} {b}|do you know {a} {b}"
            ),
            words(
                "who won|who plays in|what's the score of|when is the next game of|how do i watch|what are the rules of|who is the best player in|tickets for"
            ),
            words(
                "the super bowl|the champions league|the nba finals|wimbledon|the tour de france|the world series|the premier league|rugby|volleyball|the six nations|badminton|ice hockey|the olympics 100m"
            ),
            (),
        ),
        (
            words(
                "what's the {a} of {b}|{a} of {b}|{b} {a}|tell me the {a} of {b}|compare the {a} of {b} with its neighbors"
            ),
            words(
                "capital|population|flag|national anthem|official language|currency name|area|president|prime minister|national dish|time zone|highest mountain|longest river"
            ),
            words(
                "canada|peru|kenya|vietnam|norway|poland|turkey|chile|ghana|nepal|portugal|new zealand|indonesia|morocco|hungary|cuba|ireland|pakistan"
            ),
            (),
        ),
        (
            words(
                "{a} a {b}|{a} my {b}|{a} the {b}|best {b} for beginners|i bought a {b}, any tips|cheap {b} ideas|{b} for my sister"
            ),
            words(
                "how do i clean|how can i decorate|what should i name|how do i train|where can i buy|how do i fix up|gift ideas with|how to choose|how do i store|what color should i paint"
            ),
            words(
                "kitten|puppy|bicycle|guitar|sofa|garden|rose bush|leather jacket|fish tank|tent|camera|wedding cake|piano|carpet|barbecue|skateboard|hamster|christmas tree|wardrobe"
            ),
            (),
        ),
    ],
    "history": [
        (
            words(
                "when did {a} happen|what caused {a}|who was involved in {a}|consequences of {a}|why did {a} happen?|timeline of {a}|what was life like during {a}|who led {a}|how did {a} end|turning points of {a}|what if {a} had never happened|primary sources on {a}|write a newspaper article from the time of {a}"
            ),
            words(
                "the french revolution|the american civil war|the battle of stalingrad|the russian revolution|the fall of constantinople|the norman conquest|the spanish armada|the peasants' revolt|the punic wars|the first crusade|the boxer rebellion|the haitian revolution|the suez crisis|the battle of thermopylae|the great fire of london|the salem witch trials|the mexican revolution|the thirty years war|the partition of india|the rwandan genocide|the fall of saigon|the reconquista"
            ),
            (),
            (),
        ),
        (
            words(
                "who was {a}|what did {a} do|how did {a} die|how did {a} come to power|biography of {a}|when was {a} born|why was {a} so important|what was {a} famous for|{a}'s greatest achievements|was {a} a good ruler"
            ),
            words(
                "julius caesar|cleopatra|napoleon bonaparte|queen elizabeth i|genghis khan|abraham lincoln|catherine the great|winston churchill|mao zedong|saladin|otto von bismarck|tutankhamun|hannibal|simon bolivar|emperor augustus|louis xiv|ramesses ii|suleiman the magnificent|kublai khan|marie antoinette|spartacus|charlemagne|emperor nero|frederick the great|che guevara|ivan the terrible"
            ),
            (),
            (),
        ),
    ],
    "engineering": [
        (
            words(
                "how does {a} work|how do i size {a}|design {a} for {b}|what causes {a} to fail|maintenance of {a}|how is {a} manufactured|what material for {a}|calculate the load on {a}|efficiency of {a}|troubleshoot {a}|cost and specs of {a} for {b}|wiring diagram for {a}|noise from {a} in {b}"
            ),
            words(
                "a centrifugal pump|a gearbox|an electric motor|a heat exchanger|a hydraulic cylinder|a steel beam|a retaining wall|a solar inverter|a wind turbine blade|a diesel generator|a transformer|a relay circuit|a boost converter|an h-bridge|a cooling tower|a conveyor|a ball screw|a turbocharger|a concrete foundation|a roof truss|a heat pump|a pressure vessel|a clutch|a water pump|an audio amplifier circuit"
            ),
            words(
                "a factory|a small house|a truck|a robot|an off-grid cabin|a ship|a greenhouse|a 3 story building|a prototype|an electric bike"
            ),
            (),
        ),
    ],
    "economics": [
        (
            words(
                "what happens to {a} when {b}|how does {a} react if {b}?|why does {a} change when {b}|effect on {a} if {b}|does {a} go up or down when {b}|explain with a graph how {a} shifts when {b}|will {a} rise because {b}|If {b}, {a} will most likely"
            ),
            words(
                "inflation|unemployment|gdp|aggregate demand|consumer spending|the exchange rate|the price level|real wages|imports|exports|investment in the economy|the money supply|housing prices|bond prices|government revenue|the demand for labor"
            ),
            words(
                "the central bank raises rates|the government cuts taxes|oil prices double|a tariff is introduced|the minimum wage increases|the currency depreciates|people save more|productivity grows|the population ages|the government borrows more|a subsidy is removed|consumers expect a recession|the reserve requirement falls|immigration increases"
            ),
            (),
        ),
    ],
    "physics": [
        (
            words(
                "a {a} of mass {b} kg moves at {c} m/s, find its kinetic energy|a {a} is dropped from {b} m, how long until it hits the ground|what force accelerates a {b} kg {a} at {c} m/s^2|momentum of a {b} kg {a} at {c} m/s|a {a} is thrown upward at {c} m/s how high does it go|how much work to lift a {b} kg {a} by {c} meters|a {a} slides {b} m with friction and stops, initial speed {c} m/s, find the coefficient"
            ),
            words("ball|car|stone|rocket|block|cart|bullet|skater|satellite|crate"),
            words("2|5|10|12|0.5|50|80|1500"),
            words("3|4.5|10|15|20|30|100"),
        ),
        (
            words(
                "why {a}|why {a}?|can you explain why {a}|my kid asks why {a}|physics behind why {a}|is it true that {a}"
            ),
            words(
                "light bends in water|metal feels colder than wood|ice is slippery|thunder comes after lightning|the moon does not fall down|stars have different colors|satellites stay in orbit|hot air rises|boats float|you feel lighter in an elevator going down|magnets have two poles|glass is transparent|time slows down near a black hole|mirrors reflect|soap bubbles are colorful|a spinning wheel stays upright|sound travels faster in water|the sun looks red at sunset|a vacuum has no sound"
            ),
            (),
            (),
        ),
    ],
    "chemistry": [
        (
            words(
                "what happens when you mix {a} and {b}|{a} + {b} reaction|is {a} soluble in {b}|balanced equation for {a} reacting with {b}|molar mass of {a}|formula of {a}|how do you neutralize {a}|ph of {a}|structure of {a}|is {a} polar|how is {a} made in the lab|density and boiling point of {a}|why does {a} react with {b}"
            ),
            words(
                "sodium hydroxide|hydrochloric acid|acetic acid|ammonia|copper sulfate|silver nitrate|calcium carbonate|potassium permanganate|ethanol|methane|sulfur dioxide|magnesium|zinc|hydrogen peroxide|iodine|lead nitrate|acetone|phosphoric acid|toluene|aluminum oxide"
            ),
            words(
                "water|chlorine|sulfuric acid|oxygen|bromine|hexane|dilute acid|iron|sodium|bleach"
            ),
            (),
        ),
    ],
    "biology": [
        (
            words(
                "why do {a} {b}|how do {a} {b}|do {a} {b}?|when do {a} {b}|how often do {a} {b}|is it true that {a} {b}|how did {a} evolve to {b}|what makes {a} {b}"
            ),
            words(
                "cats|birds|ants|bees|whales|frogs|snakes|plants|trees|octopuses|bats|wolves|fish|butterflies|spiders|elephants|penguins|lizards|mushrooms|sharks|owls|beetles"
            ),
            words(
                "sleep|migrate|breathe|reproduce|communicate|find food|see in the dark|change color|survive winter|defend themselves|grow so big|live so long|hunt|care for their young|lay eggs|sense danger|lose their skin"
            ),
            (),
        ),
    ],
    "philosophy": [
        (
            words(
                "is it ever right to {a}|is it wrong to {a}?|is it immoral to {a} if {b}|would kant say it is ok to {a}|what would a utilitarian say if i {a}|moral arguments against those who {a}|do we have a duty not to {a}|why is it unethical to {a}, philosophically"
            ),
            words(
                "lie|break a promise|steal|kill one person to save five|eat animals|have children|design babies|ignore a drowning stranger|keep the money i found|betray a friend|use torture|clone humans|deceive a dying person|disobey an unjust rule|be selfish"
            ),
            words(
                "nobody finds out|it saves lives|everyone agrees|it makes people happy|the intention is good|god commands it"
            ),
            (),
        ),
        (
            words(
                "what did {a} think about {b}|{a} on {b}|{a} vs {c} on {b}|how would {a} answer the question of {b}|criticism of {a}'s view of {b}|essay: {a} and {b}"
            ),
            words(
                "plato|aristotle|kant|hume|nietzsche|descartes|spinoza|sartre|the buddha|confucius|laozi|aquinas|augustine|hegel|kierkegaard|epictetus|seneca|marcus aurelius|hannah arendt|foucault"
            ),
            words(
                "virtue|death|god|happiness|truth|justice|freedom|knowledge|love|the self|evil|friendship|the soul|reality|suffering"
            ),
            words("socrates|locke|mill|schopenhauer|camus|rousseau|wittgenstein|epicurus"),
        ),
    ],
}
