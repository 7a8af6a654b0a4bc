"""What may differ between two English questions that want the same answer.

The form is that of :mod:`wayside.vocab.near_miss_words`. Only words without another common sense
are the same: not "present" and "current", not "quick" and "fast" (quick sort).
"""

from typing import Final

TABLES: Final = r"""
## en
telling:
    the a an is are was were do does did how what who which where when why can could should of
    to for with my i you it in on and or from that this have has not me if what's i'm don't
empty:
    the a an of do does
saying:
    say said saying saies mean means meaning translate translation translated spell spelled
    pronounce pronounced pronunciation write writing word words phrase note letter card email
    message reply respond greeting called synonym lyrics song movie film book title
same:
    biggest=largest  quickly=fast  begin=start  erase=delete  remove=delete  repair=fix
    automobile=car  movie=film  movies=films  photo=picture  photos=pictures
    inexpensive=cheap  physician=doctor  kid=child  kids=children  colour=color
    favourite=favorite  summarise=summarize  organise=organize  centre=center  litre=liter
    litres=liters  metre=meter  metres=meters  kilometre=kilometer  kilometres=kilometers
    km=kilometers  kg=kilograms  grey=gray  programme=program  directory=folder
    directories=folders  u=you  ur=your  gonna=will  wanna=want  recipies=recipes
    recieve=receive  seperate=separate  definately=definitely  teh=the  wich=which
    adress=address  tomorow=tomorrow  calender=calendar  two=2  three=3  four=4  five=5  six=6
    seven=7  eight=8  nine=9  ten=10  eleven=11  twelve=12  twenty=20  hundred=100
frames:
  _(what|who|where|when|how|that|it|there|here)(?:'s|s'?)(?=_(?:the|a|an|my|your|it
      |up)_) => _\1_is
  _(what|who|where|when|how|why|which|that|it|there|here|he|she)'s_ => _\1_is_
  _whats_ => _what_is_
  _(what|who|where|when|how|why|they|you|we)'re_ => _\1_are_
  _i'm_|_im_ => _i_am_
  _(i|you|we|they)'ve_ => _\1_have_
  _(i|you|we|they|he|she|it)'ll_ => _\1_will_
  _(i|you|we|they|he|she|it)'d_like_ => _\1_would_like_
  _(?:can't|cant|cannot)_ => _can_not_
  _(?:won't|wont)_ => _will_not_
  _(do|does|did|is|are|was|were|have|has|had|could|would|should)n'?t_(i|you|he|she|it|we
      |they|this|that|there|(?:my|your|the|a|an)_[^_]+)_ => _\1_\2_not_
  _(do|does|did|is|are|was|were|have|has|had|could|would|should)n'?t_ => _\1_not_
  ~ ^_(?:hi|hello|hey|good_(?:morning|evening|afternoon))(?:_(?:there|all|everyone
      |everybody|team|bot|assistant))?_(?=(?:how|what|who|where|when|why|which|whose
      |can|could|would|will|do|does|did|is|are|i|my|please|pls|tell|show|give|explain|there
      |we)_) => _
  ~ ^_(?:a_)?(?:quick|short|simple|small)_question_ => _
  ~ ^_(?:so|ok|okay|um|excuse_me|and|also)_(?=(?:how|what|who|where|when|why|which|can|could
      |would|do|does|did|is|are)_) => _
  ~ ^_(?:i_have|i've_got)_a_(?:quick_|simple_)?question_ => _
  ~ ^_(?:thanks|thank_you|thx)_(?=(?:how|what|who|where|when|why|which)_) => _
  ~ _(?<!of_)(?<!my_)(?<!with_)(?<!for_)(?<!the_)(?:thanks|thank_you|thx|cheers)(?:_(?:a_lot
      |so_much|very_much|in_advance|again))*_$ => _
  ~ _(?:please|pls|plz|kindly)_ => _
  _(?:explain|describe)_to_me_ => _explain_
  _(vitamin|hepatitis|influenza|type|grade|plan|class|group|section|appendix|part|team|level
      |option|figure|series|model|variable|line|point|answer|category|schedule|exhibit)_a_
      => _\1_letter-a_
  _(a|an|the)_$ => _\1-last_
  _a_(few|little|lot|bit|number)_ => _a-\1_
  _((?:north|south)(?:east|west)?|east|west|left|right|top|bottom|front|back)_of_ => _\1-of_
  ^_(?:can|could|would|will)_(?:you|someone|anyone|somebody)(?:_(?:help_me_and|quickly
      |briefly|just))?_(?=(?:tell|show|give|explain|list|name|write|translate|convert
      |summarise|summarize|describe|recommend|suggest|compare|check|find|help)_) => _
  ^_(?:do_you_know|does_anyone_know|any_idea|i_wonder|i_was_wondering|(?:i_want|i_need
      |i'd_like|i_would_like|i'd_love|i_would_love)_to_know|let_me_know
      |remind_me)_(?=(?:what|who|whom|whose|which|where|when|why|how|whether|if)_) => _
  ^_(?:tell|show|give)_(?:me|us)_ => _
  ^_(?:tell|show)_(?=(?:what|who|which|where|when|why|how)_) => _
  ^_(?:i_am|we_are)_looking_for_ => _
  ^_(what|who|where|when)_((?!is_|are_|was_|were_).+)_(is|are|was|were)_$ => _\1_\3_\2_
  _what_is_the_(?:right_|correct_|proper_)?way_to_ => _howto_
  ^_(?:the_|a_)?ways?_to_ => _howto_
  _how_(?:do|can|could|would|might|does)_(?:i|we|one|someone|somebody|anyone)_(?:go_about_)?
      => _howto_
  _how_(?:do|would|can|could)_you_(?!feel_|work_|know_|think_|help_|compare_|differ_|like_|do_
      |handle_|mean_|see_|learn_|remember_|say_|sleep_|live_|decide_|earn_|store_|use_|treat_)
      => _howto_
  _how_to_ => _howto_
  ^_howto_(.+)_how_$ => _howto_\1_
  ^_(?:instructions|steps|a_guide|guide)_(?:for|to|on)_(?=\w+ing_) => _
  _what_does_(.+?)_mean_ => _meaning_\1_
  ^_(?:what_is_|what's_)?(?:the_)?(?:meaning|definition)_(?:of|for)_ => _meaning_
  ^_define_ => _meaning_
  ^_(?:installation_of|installing)_ => _howto_install_
  ^_(?:in|using|with)_(\w[\w.+#-]*)_(howto_.+)_$ => _\2_in_\1_
  ^_(howto_.+_in_.+?)(?:_using|_by_using)_(\w[\w.+#-]*)_$ => _\1_using_\2_
  ^_(howto_[^_]+(?:_[^_]+){0,6})_(?:using|with_the_help_of)_([\w.+#-]+)_$ => _\1_in_\2_
  ^_(?:what_is_)?(?:the_)?(.+)'s_(?:date_of_birth|birth_date|birthdate)_$ => _born_\1_
  _(?:what_is_)?(?:the_)?(?:date_of_birth|birth_date|birthdate)_of_(.+?)_$ => _born_\1_
  _when_was_((?:(?!when_).)+?)_born_ => _born_\1_
  _on_(?:what|which)_date_was_(.+?)_born_ => _born_\1_
  _how_old_is_ => _age_
  _what_is_the_age_of_|_what_is_(?=\w+'s_age_) => _age_
  ^_the_age_of_ => _age_
  _how_(?:tall|high)_is_ => _height_
  _(?:what_is_)?the_height_of_ => _height_
  _what_is_the_distance_between_([^_]+(?:_[^_]+)??)_and_([^_]+(?:_[^_]+)??)(?=_in_|_by_
      |_$) => _distance_\1_|_\2
  _(?:the_)?distance_(?:between_([^_]+)_and|from_([^_]+)_to)_([^_]+)_ => _distance_\1\2_
      |_\3_
  _how_far_is_(?:it_)?(?:from_)?([^_]+)_(?:from|to)_([^_]+)(?=_in_|_by_
      |_$) => _distance_\1_|_\2
  _how_many_people_(?:live|are_living)_in_|_how_many_(?:inhabitants
      |people)_are_there_in_ => _population_of_
  _how_many_(?:inhabitants|people)_does_(.+?)_have_ => _population_of_\1_
  _how_(?:much_does_(.+?)_cost|much_is_)_ => _price_\1_
  _what_does_(.+?)_cost_ => _price_\1_
  ^_(?:what_is_)?the_(?:price|cost)_of_ => _price_
  _how_many_(.+)_are_there_in_ => _number_of_\1_in_
  _what_is_the_number_of_ => _number_of_
  _what_time_is_it_(?:now_|right_now_)?in_(.+?)_(?:now_
      |right_now_)?$ => _current_time_in_\1_
  ^_the_current_time_in_ => _current_time_in_
  _what_will_the_weather_be(?:_like)?_in_(.+)_$ => _weather_in_\1_
  _(?:what|how)_is_the_weather(?:_like)?(?:_going_to_be)?_(?=in_|\w+_$) => _weather_
  ^_weather_(?:forecast|report)_(?:for|in)_ => _weather_in_
  ^_(?:what|which)_((?:[^_]+_){1,3}?)does_(.+?)_have_ => _\1of_\2_
  ^_(?:what|which)_(?:country|city|town|state|language
      |number)_is_(.+)'s_([^_]+)_$ => _\2_of_\1_
  ^_(?:what|which)_(?:country|city|town|state
      |language)_is_the_([^_]+)_of_(.+)_$ => _\1_of_\2_
  _how_(?:do_(?:you|i)_say|would_you_say|is|to_say
      |does_one_say)_(.+?)_(?:said_)?in_(\w+)_$ => _translate_\1_into_\2_
  _howto_say_(.+?)_in_(\w+)_$ => _translate_\1_into_\2_
  ^_translate_(.+?)_(?:to|in)_(\w+)_$ => _translate_\1_into_\2_
  _what_is_the_(\w+)_(?:word_|translation_)for_(.+?)_$ => _translate_\2_into_\1_
  ^_(?:what|which)_(?:is|are)_(?:the_|some_)?(?!it_|this_|that_|these_|those_|wrong_|up_
      |new_|there_) => _
  ^_(?:list|name|enumerate)_(?=\d|the_) => _
  _the_reason_(?:why|that|for_which)_ => _why_
  ^_what_(?:is_the_reason|are_the_reasons)_ => _why_
  ^_((?:[^_]+_){0,2}?[^_]+)'s_([^_]+(?:_[^_]+)?)_$ => _\2_of_\1_
  ^_(born|age|height|price)_((?:[^_]+_){0,3}?[^_]+)'s_(?:age|height|price)_$ => _\1_\2_
  _((?:[^_]+est|best|worst|most_[^_]+)_(?:[^_]+_){1,2}?)(?:in|of)_(?!\d) => _\1of_
  _version_(?=\d) => _
  _the_number_(\d[^_]*)_ => _\1_
  ^_is_(\d[^_]*)_a_prime(?:_number)?_$ => _is_\1_prime_
  ^_how_many_([^_]+)_(?:are|is|in)_(?:there_in_)?(\d[^_]*_[^_]+)_$ => _convert_\2_to_\1_
  ^_who_was_the_director_of_ => _who_directed_
  ^_who_(?:is|was)_the_(?:author|writer)_of_ => _who_wrote_
  ^_who_was_the_inventor_of_ => _who_invented_
  _(?:square_root|sqrt)_of_ => _sqrt_
  ^_pronunciation_of_ => _howto_pronounce_
  _line_by_line_ => _1_line_at_a_time_
  _one_line_at_a_time_ => _1_line_at_a_time_
  ^_(read|sort|parse|reverse|merge|split)_(.+)_in_([\w.+#-]+)_$ => _howto_\1_\2_in_\3_
  _pros_and_cons_ => _advantages_and_disadvantages_
  _shut_down_ => _stop_
  _set_up_ => _install_
  _get_rid_of_ => _remove_
  _alternatives?_(?:to|for)_ => _alternative_to_
  _a_person_born_in_ => _someone_born_in_
  _(\d+)_%_ => _\1_percent_
  _per_cent_ => _percent_
"""
